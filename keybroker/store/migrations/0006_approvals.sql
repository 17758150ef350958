ALTER TABLE keybroker.statements ADD COLUMN accepted bytea;
--> statement-breakpoint
CREATE TABLE keybroker.proposals (
  tenant text NOT NULL REFERENCES keybroker.tenants (id),
  digest text NOT NULL,
  kind text NOT NULL,
  model text NOT NULL,
  envelope bytea NOT NULL,
  entry text NOT NULL REFERENCES keybroker.entries (id),
  cancelled_entry text REFERENCES keybroker.entries (id),
  cancellation bytea,
  recorded_at bigint NOT NULL,
  PRIMARY KEY (tenant, digest)
);
--> statement-breakpoint
CREATE TABLE keybroker.approvals (
  tenant text NOT NULL,
  proposal text NOT NULL,
  signer text NOT NULL,
  envelope bytea NOT NULL,
  recorded_at bigint NOT NULL,
  PRIMARY KEY (tenant, proposal, signer),
  FOREIGN KEY (tenant, proposal) REFERENCES keybroker.proposals (tenant, digest)
);
