CREATE TABLE keybroker.rates (
  name text PRIMARY KEY,
  minute bigint NOT NULL,
  used bigint NOT NULL
);
