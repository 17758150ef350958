CREATE TABLE keybroker.tenants (
  id text PRIMARY KEY,
  class text NOT NULL CHECK (class IN ('production', 'development')),
  owner_keys bytea NOT NULL,
  owner_keys_digest text NOT NULL,
  created_at bigint NOT NULL
);
--> statement-breakpoint
CREATE FUNCTION keybroker.refuse_class_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.class IS DISTINCT FROM OLD.class OR NEW.id IS DISTINCT FROM OLD.id THEN
    RAISE EXCEPTION 'the class of a tenant is fixed at creation' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER tenants_class_is_fixed BEFORE UPDATE ON keybroker.tenants
  FOR EACH ROW EXECUTE FUNCTION keybroker.refuse_class_change();
--> statement-breakpoint
CREATE TABLE keybroker.entries (
  id text PRIMARY KEY,
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  tenant text NOT NULL REFERENCES keybroker.tenants (id),
  kind text NOT NULL,
  is_state boolean NOT NULL,
  leaf bytea NOT NULL CHECK (octet_length(leaf) BETWEEN 1 AND 65535),
  bundle bytea NOT NULL,
  recorded_at bigint NOT NULL,
  entry_index bigint UNIQUE CHECK (entry_index >= 0)
);
--> statement-breakpoint
CREATE INDEX entries_pending ON keybroker.entries (position) WHERE entry_index IS NULL;
--> statement-breakpoint
CREATE INDEX entries_state ON keybroker.entries (tenant, entry_index) WHERE is_state;
--> statement-breakpoint
CREATE TABLE keybroker.statements (
  tenant text NOT NULL REFERENCES keybroker.tenants (id),
  kind text NOT NULL,
  model text NOT NULL,
  sequence integer NOT NULL CHECK (sequence >= 1),
  digest text NOT NULL,
  predecessor text CHECK ((sequence = 1) = (predecessor IS NULL)),
  envelope bytea NOT NULL,
  entry text REFERENCES keybroker.entries (id),
  recorded_at bigint NOT NULL,
  PRIMARY KEY (tenant, kind, model, sequence)
);
--> statement-breakpoint
CREATE UNIQUE INDEX statements_digest ON keybroker.statements (tenant, digest);
--> statement-breakpoint
CREATE TABLE keybroker.model_keys (
  tenant text NOT NULL REFERENCES keybroker.tenants (id),
  model text NOT NULL,
  version integer NOT NULL CHECK (version >= 1),
  manifest_digest text NOT NULL,
  trust_digest text NOT NULL,
  key_id text NOT NULL,
  wrapped bytea NOT NULL,
  created_at bigint NOT NULL,
  PRIMARY KEY (tenant, model, version)
);
--> statement-breakpoint
CREATE TABLE keybroker.nonces (
  nonce bytea PRIMARY KEY,
  purpose text NOT NULL,
  context bytea NOT NULL,
  expires_at bigint NOT NULL
);
--> statement-breakpoint
CREATE INDEX nonces_expiry ON keybroker.nonces (expires_at);
--> statement-breakpoint
CREATE TABLE keybroker.sessions (
  id_digest bytea PRIMARY KEY,
  tee text NOT NULL,
  nonce text NOT NULL,
  state text NOT NULL CHECK (state IN ('challenged', 'attesting', 'attested')),
  token text CHECK ((state = 'attested') = (token IS NOT NULL)),
  expires_at bigint NOT NULL
);
--> statement-breakpoint
CREATE INDEX sessions_expiry ON keybroker.sessions (expires_at);
--> statement-breakpoint
CREATE TABLE keybroker.leases (
  id text PRIMARY KEY,
  tenant text NOT NULL REFERENCES keybroker.tenants (id),
  model text NOT NULL,
  version integer NOT NULL,
  platform text NOT NULL,
  keyset_digest text NOT NULL,
  entry text NOT NULL REFERENCES keybroker.entries (id),
  granted_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  ended_at bigint,
  terms bytea NOT NULL
);
--> statement-breakpoint
CREATE INDEX leases_live ON keybroker.leases (tenant, model, expires_at) WHERE ended_at IS NULL;
--> statement-breakpoint
CREATE TABLE keybroker.requests (
  tenant text NOT NULL,
  id text NOT NULL,
  digest text NOT NULL,
  lease text,
  entry text NOT NULL REFERENCES keybroker.entries (id),
  decided_at bigint NOT NULL,
  PRIMARY KEY (tenant, id)
);
--> statement-breakpoint
CREATE TABLE keybroker.refusals (
  tenant text NOT NULL,
  code text NOT NULL,
  period_start bigint NOT NULL,
  count bigint NOT NULL CHECK (count >= 0),
  PRIMARY KEY (tenant, code, period_start)
);
