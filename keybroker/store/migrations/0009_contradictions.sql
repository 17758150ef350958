CREATE TABLE keybroker.contradictions (
  tenant text NOT NULL REFERENCES keybroker.tenants (id),
  platform text NOT NULL,
  seen_at bigint NOT NULL,
  because text NOT NULL,
  entry text NOT NULL REFERENCES keybroker.entries (id),
  PRIMARY KEY (tenant, platform)
);
