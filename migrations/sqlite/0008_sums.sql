-- Sums by a dimension's values, all of one hour or day, pixel and name in one row: a row
-- a value made reports wait for the reading of rows. name is empty for all names
-- together, or there where dimension begins with name+. What is there in several parts
-- adds up; sums.go has the form.
CREATE TABLE sums (
  dimension TEXT    NOT NULL,
  level     INTEGER NOT NULL, -- its length in minutes
  bucket    INTEGER NOT NULL,
  pixel_id  TEXT    NOT NULL,
  name      TEXT    NOT NULL,
  part      INTEGER NOT NULL,
  sums      BLOB    NOT NULL
);
CREATE UNIQUE INDEX sums_by_bucket ON sums (dimension, level, bucket, pixel_id, name, part);

-- Sums of a name alone, over one minute, hour or day UTC: level is its length in minutes,
-- and bucket its number since 1970. Money is of purchases, in millionths.
DROP TABLE rollups;
CREATE TABLE rollups (
  level    INTEGER NOT NULL,
  bucket   INTEGER NOT NULL,
  pixel_id TEXT    NOT NULL,
  name     TEXT    NOT NULL,
  events   INTEGER NOT NULL,
  revenue  NUMERIC NOT NULL,
  base     NUMERIC NOT NULL,
  PRIMARY KEY (level, bucket, pixel_id, name)
) WITHOUT ROWID;

-- All is rolled up anew.
DELETE FROM visitor_sets;
UPDATE rolled SET seq = 0;
