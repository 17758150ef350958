ALTER TABLE attest.collateral ADD COLUMN revoked boolean NOT NULL DEFAULT false;
