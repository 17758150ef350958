ALTER TABLE keybroker.model_keys ADD COLUMN share bytea;
