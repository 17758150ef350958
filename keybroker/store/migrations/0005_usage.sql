CREATE TABLE keybroker.accounts (
  id text PRIMARY KEY,
  state bytea NOT NULL
);
--> statement-breakpoint
CREATE TABLE keybroker.lease_devices (
  lease text NOT NULL REFERENCES keybroker.leases (id),
  device text NOT NULL,
  PRIMARY KEY (device, lease)
);
--> statement-breakpoint
CREATE INDEX lease_devices_lease ON keybroker.lease_devices (lease);
--> statement-breakpoint
CREATE INDEX leases_granted ON keybroker.leases (tenant, granted_at);
--> statement-breakpoint
ALTER TABLE keybroker.entries ADD COLUMN account text;
--> statement-breakpoint
CREATE INDEX entries_account ON keybroker.entries (account, position) WHERE account IS NOT NULL;
