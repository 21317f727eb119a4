-- A conversion and all that its models give, in one row: a row a model and one more a
-- touchpoint and model, in six indexes, were a sixth of what an event cost the worker.
-- Reports read the bodies once and keep what each hour comes to in memory. Times are
-- microseconds since 1970, UTC.
CREATE TABLE conversions (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  pixel_id    TEXT    NOT NULL,
  event_id    TEXT    NOT NULL,
  received_at INTEGER NOT NULL,
  sets        INTEGER NOT NULL, -- how many models gave it
  body        BLOB    NOT NULL  -- their sets; owed.go has the form. '[' begins a list of them as JSON
);

INSERT INTO conversions (seq, pixel_id, event_id, received_at, sets, body)
SELECT min(seq), pixel_id, event_id, max(received_at), count(*), CAST('[' || group_concat(CAST(body AS TEXT), ',') || ']' AS BLOB)
FROM credit_sets GROUP BY event_id, pixel_id ORDER BY min(seq);

CREATE UNIQUE INDEX conversions_by_event ON conversions (event_id, pixel_id);
CREATE INDEX conversions_by_time ON conversions (received_at);

-- Touchpoints in the order of time, in which they come and are read. Where several events
-- tell of one at different times there are several rows, of which the earliest counts.
CREATE TABLE timed_touches (
  at         INTEGER NOT NULL,
  pixel_id   TEXT    NOT NULL,
  id         TEXT    NOT NULL,
  visitor_id TEXT    NOT NULL,
  event_id   TEXT    NOT NULL,
  kind       TEXT    NOT NULL,
  channel    TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  campaign   TEXT    NOT NULL,
  partner    TEXT    NOT NULL,
  PRIMARY KEY (at, pixel_id, id)
) WITHOUT ROWID;
INSERT INTO timed_touches SELECT at, pixel_id, id, visitor_id, event_id, kind, channel, source, campaign, partner FROM touches ORDER BY at, pixel_id, id;

DROP TRIGGER credits_go_with_events;
DROP TABLE credit_sets;
DROP TABLE credits;
DROP TABLE touches;
ALTER TABLE timed_touches RENAME TO touches;
CREATE INDEX touches_by_event ON touches (event_id, pixel_id);
CREATE INDEX touches_by_visitor ON touches (visitor_id, pixel_id) WHERE visitor_id <> '';

-- What is said of an event goes with it.
CREATE TRIGGER credits_go_with_events AFTER DELETE ON events BEGIN
  DELETE FROM conversions WHERE event_id = old.id AND pixel_id = old.pixel_id;
  DELETE FROM touches WHERE event_id = old.id AND pixel_id = old.pixel_id;
END;
