CREATE TABLE keybroker.resources (
  path text PRIMARY KEY,
  key_id text NOT NULL,
  wrapped_key bytea NOT NULL,
  sealed bytea NOT NULL,
  stored_at bigint NOT NULL
);
