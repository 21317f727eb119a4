-- What a conversion is owed to. Times are microseconds since 1970, UTC; weights and
-- money are millionths.

-- One model's credits for one conversion; body is the whole set as JSON.
CREATE TABLE credit_sets (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  pixel_id    TEXT    NOT NULL,
  event_id    TEXT    NOT NULL,
  model       TEXT    NOT NULL,
  version     INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  body        BLOB    NOT NULL
);

CREATE UNIQUE INDEX credit_sets_by_event ON credit_sets (event_id, pixel_id, model);
CREATE INDEX credit_sets_by_time ON credit_sets (received_at);

-- The same, a row a touchpoint, for sums.
CREATE TABLE credits (
  event_id    TEXT    NOT NULL,
  pixel_id    TEXT    NOT NULL,
  model       TEXT    NOT NULL,
  place       INTEGER NOT NULL, -- in the path, from 0
  received_at INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  currency    TEXT    NOT NULL,
  touch_id    TEXT    NOT NULL,
  kind        TEXT    NOT NULL,
  channel     TEXT    NOT NULL,
  source      TEXT    NOT NULL,
  campaign    TEXT    NOT NULL,
  partner     TEXT    NOT NULL,
  weight      INTEGER NOT NULL,
  value       INTEGER NOT NULL,
  refunded    INTEGER NOT NULL,
  PRIMARY KEY (event_id, pixel_id, model, place)
) WITHOUT ROWID;

CREATE INDEX credits_by_time ON credits (model, received_at);
-- Whether a touchpoint led to a conversion.
CREATE INDEX credits_by_touch ON credits (touch_id, pixel_id) WHERE model = 'linear';

CREATE TABLE touches (
  id         TEXT    NOT NULL,
  pixel_id   TEXT    NOT NULL,
  visitor_id TEXT    NOT NULL,
  event_id   TEXT    NOT NULL,
  at         INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  channel    TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  campaign   TEXT    NOT NULL,
  partner    TEXT    NOT NULL,
  PRIMARY KEY (id, pixel_id)
) WITHOUT ROWID;

CREATE INDEX touches_by_time ON touches (at);
CREATE INDEX touches_by_event ON touches (event_id, pixel_id);
CREATE INDEX touches_by_visitor ON touches (visitor_id, pixel_id) WHERE visitor_id <> '';

-- What is said of an event goes with it.
CREATE TRIGGER credits_go_with_events AFTER DELETE ON events BEGIN
  DELETE FROM credit_sets WHERE event_id = old.id AND pixel_id = old.pixel_id;
  DELETE FROM credits WHERE event_id = old.id AND pixel_id = old.pixel_id;
  DELETE FROM touches WHERE event_id = old.id AND pixel_id = old.pixel_id;
END;
