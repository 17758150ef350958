CREATE TABLE keybroker.kbs_evidence (
  token text PRIMARY KEY,
  evidence bytea NOT NULL,
  expires_at bigint NOT NULL
);
--> statement-breakpoint
CREATE INDEX kbs_evidence_expiry ON keybroker.kbs_evidence (expires_at);
