-- The table events as it was before migration 0011, with what belongs to it.
CREATE TABLE wide_events (
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
  search        BLOB    NOT NULL,
  region        TEXT    NOT NULL DEFAULT '',
  city          TEXT    NOT NULL DEFAULT '',
  network       TEXT    NOT NULL DEFAULT '',
  base_value    REAL
);
CREATE TABLE event_bodies (
  seq   INTEGER PRIMARY KEY,
  codec INTEGER NOT NULL,
  body  BLOB    NOT NULL
);
INSERT INTO event_bodies (seq, codec, body) SELECT seq, codec, body FROM events ORDER BY seq;
