-- How well a partner could match an event that was routed to it. keys and missing
-- are names parted by commas, in the partner's order.
CREATE TABLE matches (
  event_id    TEXT    NOT NULL,
  pixel_id    TEXT    NOT NULL,
  partner     TEXT    NOT NULL,
  received_at INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  grade       TEXT    NOT NULL,
  keys        TEXT    NOT NULL,
  missing     TEXT    NOT NULL,
  PRIMARY KEY (event_id, pixel_id, partner)
) WITHOUT ROWID;

-- It holds all that the report asks for.
CREATE INDEX matches_by_time ON matches (received_at, pixel_id, partner, name, grade, keys, missing);

-- What is said of an event goes with it.
CREATE TRIGGER matches_go_with_events AFTER DELETE ON events BEGIN
  DELETE FROM matches WHERE event_id = old.id AND pixel_id = old.pixel_id;
END;
