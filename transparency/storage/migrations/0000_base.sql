CREATE SCHEMA IF NOT EXISTS "transparency";
--> statement-breakpoint
CREATE TABLE "transparency"."log" (
  "id" smallint PRIMARY KEY CHECK ("id" = 1),
  "origin" text NOT NULL,
  "vkey" text NOT NULL,
  "size" bigint NOT NULL CHECK ("size" >= 0),
  "root_hash" bytea NOT NULL CHECK (octet_length("root_hash") = 32)
);
--> statement-breakpoint
CREATE TABLE "transparency"."entry" (
  "index" bigint PRIMARY KEY CHECK ("index" >= 0),
  "leaf_hash" bytea NOT NULL UNIQUE CHECK (octet_length("leaf_hash") = 32),
  "leaf" bytea NOT NULL CHECK (octet_length("leaf") <= 65535)
);
--> statement-breakpoint
CREATE TABLE "transparency"."tile" (
  "level" smallint NOT NULL CHECK ("level" BETWEEN 0 AND 63),
  "index" bigint NOT NULL CHECK ("index" >= 0),
  "hashes" bytea NOT NULL CHECK (octet_length("hashes") = 8192),
  "root_hash" bytea NOT NULL CHECK (octet_length("root_hash") = 32),
  PRIMARY KEY ("level", "index")
);
--> statement-breakpoint
ALTER TABLE "transparency"."tile" ALTER COLUMN "hashes" SET STORAGE EXTERNAL;
--> statement-breakpoint
CREATE TABLE "transparency"."checkpoint" (
  "size" bigint PRIMARY KEY CHECK ("size" >= 0),
  "root_hash" bytea NOT NULL CHECK (octet_length("root_hash") = 32),
  "note" text NOT NULL
);
--> statement-breakpoint
-- What the log has said stays said, even for a program with a mistake in it: only the head's size and root move, and
-- only forwards; a checkpoint may be cosigned again under the same root.
CREATE FUNCTION "transparency"."refuse_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the log is append-only' USING ERRCODE = '23001';
END $$;
--> statement-breakpoint
CREATE TRIGGER "entry_append_only" BEFORE UPDATE OR DELETE ON "transparency"."entry"
  FOR EACH ROW EXECUTE FUNCTION "transparency"."refuse_change"();
--> statement-breakpoint
CREATE TRIGGER "tile_append_only" BEFORE UPDATE OR DELETE ON "transparency"."tile"
  FOR EACH ROW EXECUTE FUNCTION "transparency"."refuse_change"();
--> statement-breakpoint
CREATE TRIGGER "log_forwards" BEFORE UPDATE ON "transparency"."log"
  FOR EACH ROW WHEN (NEW.origin <> OLD.origin OR NEW.vkey <> OLD.vkey OR NEW.size < OLD.size OR
    (NEW.size = OLD.size AND NEW.root_hash <> OLD.root_hash))
  EXECUTE FUNCTION "transparency"."refuse_change"();
--> statement-breakpoint
CREATE TRIGGER "log_stays" BEFORE DELETE ON "transparency"."log"
  FOR EACH ROW EXECUTE FUNCTION "transparency"."refuse_change"();
--> statement-breakpoint
CREATE TRIGGER "checkpoint_same_root" BEFORE UPDATE ON "transparency"."checkpoint"
  FOR EACH ROW WHEN (NEW.size <> OLD.size OR NEW.root_hash <> OLD.root_hash)
  EXECUTE FUNCTION "transparency"."refuse_change"();
--> statement-breakpoint
CREATE TRIGGER "checkpoint_stays" BEFORE DELETE ON "transparency"."checkpoint"
  FOR EACH ROW EXECUTE FUNCTION "transparency"."refuse_change"();
