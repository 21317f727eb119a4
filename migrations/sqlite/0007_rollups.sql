-- What reports are read from. Events up to rolled.seq are in the roll-ups, later
-- ones are counted one by one; so what was stored before this migration is rolled up
-- by and by, and reports are right meanwhile.
CREATE TABLE rolled (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL
);
INSERT INTO rolled VALUES (1, 0);

-- A purchase's value in the currency that all sites are compared in; null where it
-- is not known.
ALTER TABLE events ADD COLUMN base_value REAL;

-- Sums over one minute, hour or day UTC: level is its length in minutes, and bucket
-- its number since 1970. dimension is empty for the sums of a name alone; else value
-- is the events' in it, and name is empty, or there where dimension begins with
-- name+. Money is of purchases, in millionths.
CREATE TABLE rollups (
  dimension TEXT    NOT NULL,
  level     INTEGER NOT NULL,
  bucket    INTEGER NOT NULL,
  pixel_id  TEXT    NOT NULL,
  name      TEXT    NOT NULL,
  value     TEXT    NOT NULL,
  events    INTEGER NOT NULL,
  revenue   NUMERIC NOT NULL,
  base      NUMERIC NOT NULL,
  PRIMARY KEY (dimension, level, bucket, pixel_id, name, value)
) WITHOUT ROWID;

-- The visitors of one pixel in one hour or day: digests of their ids, of eight
-- bytes each, in ascending order.
CREATE TABLE visitor_sets (
  level    INTEGER NOT NULL,
  bucket   INTEGER NOT NULL,
  pixel_id TEXT    NOT NULL,
  visitors BLOB    NOT NULL
);
CREATE UNIQUE INDEX visitor_sets_by_bucket ON visitor_sets (level, bucket, pixel_id);
