CREATE SCHEMA IF NOT EXISTS attest;
--> statement-breakpoint
CREATE TABLE attest.collateral (
  root text NOT NULL,
  name text NOT NULL,
  digest text NOT NULL,
  body bytea NOT NULL,
  chain bytea NOT NULL,
  issued_at bigint NOT NULL,
  valid_until bigint NOT NULL,
  edition text,
  received_at bigint NOT NULL,
  origin text NOT NULL,
  PRIMARY KEY (root, name)
);
