CREATE TABLE keybroker.kbs_released (
  tenant text NOT NULL REFERENCES keybroker.tenants (id),
  platform text NOT NULL,
  model text NOT NULL,
  version integer NOT NULL,
  first_at bigint NOT NULL,
  last_at bigint NOT NULL,
  PRIMARY KEY (tenant, platform, model, version)
);
