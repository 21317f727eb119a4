-- Times are microseconds since 1970, UTC. seq is the order of storage: it only
-- grows and is never used again, so that a live view can go on from it.

-- What questions select and group by. search holds, in lower case, the name, the
-- page's address and its title, each behind x'FF', then the event's, order's and
-- visitor's ids, each behind x'FE'; neither byte occurs in text.
CREATE TABLE events (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  pixel_id      TEXT    NOT NULL,
  id            TEXT    NOT NULL,
  received_at   INTEGER NOT NULL,
  time          INTEGER NOT NULL,
  visitor_id    TEXT    NOT NULL,
  order_id      TEXT    NOT NULL,
  value         REAL,
  name          TEXT    NOT NULL,
  consent       TEXT    NOT NULL,
  device        TEXT    NOT NULL,
  browser       TEXT    NOT NULL,
  os            TEXT    NOT NULL,
  country       TEXT    NOT NULL,
  referrer_kind TEXT    NOT NULL,
  referrer_host TEXT    NOT NULL,
  utm_source    TEXT    NOT NULL,
  utm_medium    TEXT    NOT NULL,
  utm_campaign  TEXT    NOT NULL,
  page_path     TEXT    NOT NULL,
  currency      TEXT    NOT NULL,
  source        TEXT    NOT NULL,
  search        BLOB    NOT NULL
);

CREATE UNIQUE INDEX events_by_id ON events (id, pixel_id);
CREATE INDEX events_by_name ON events (pixel_id, name, received_at);
CREATE INDEX events_by_visitor ON events (visitor_id, received_at) WHERE visitor_id <> '';
CREATE INDEX events_by_order ON events (order_id, received_at) WHERE order_id <> '';
-- These two hold all that the usual charts ask for, so that they need not visit
-- the table.
CREATE INDEX events_by_time ON events (received_at, name, visitor_id, currency, value);
CREATE INDEX events_by_pixel ON events (pixel_id, received_at, name, visitor_id, currency, value);

-- The whole event as JSON, by the codec of the backend. It is apart from events
-- so that a report reads only what it counts.
CREATE TABLE event_bodies (
  seq   INTEGER PRIMARY KEY,
  codec INTEGER NOT NULL, -- 0: as it is; 1: zstd with the first dictionary
  body  BLOB    NOT NULL
);

-- One event, one partner, one attempt. body is the whole line as JSON.
CREATE TABLE syncs (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  pixel_id TEXT    NOT NULL,
  event_id TEXT    NOT NULL,
  partner  TEXT    NOT NULL,
  attempt  INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  outcome  TEXT    NOT NULL,
  code     TEXT    NOT NULL,
  order_id TEXT    NOT NULL,
  body     BLOB    NOT NULL
);

CREATE UNIQUE INDEX syncs_by_key ON syncs (event_id, pixel_id, partner, attempt);
CREATE INDEX syncs_by_time ON syncs (at, pixel_id, partner, outcome, code);
CREATE INDEX syncs_by_partner ON syncs (partner, outcome, at);
CREATE INDEX syncs_by_order ON syncs (order_id, at) WHERE order_id <> '';
