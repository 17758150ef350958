CREATE TABLE keybroker.pseudonyms (
  tenant text PRIMARY KEY REFERENCES keybroker.tenants (id),
  opening text NOT NULL CHECK (octet_length(opening) = 43)
);
--> statement-breakpoint
ALTER TABLE keybroker.entries ALTER COLUMN tenant DROP NOT NULL;
--> statement-breakpoint
CREATE INDEX entries_pending_tenant ON keybroker.entries (tenant, position) WHERE entry_index IS NULL;
