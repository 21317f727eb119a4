-- The tables as they were before the migrations of number 0015, with what belongs to them.
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

CREATE TABLE credit_sets (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  pixel_id    TEXT    NOT NULL,
  event_id    TEXT    NOT NULL,
  model       TEXT    NOT NULL,
  version     INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  body        BLOB    NOT NULL
);
CREATE TABLE credits (
  event_id    TEXT    NOT NULL,
  pixel_id    TEXT    NOT NULL,
  model       TEXT    NOT NULL,
  place       INTEGER NOT NULL,
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
CREATE TABLE old_touches (
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
INSERT OR IGNORE INTO old_touches SELECT id, pixel_id, visitor_id, event_id, at, kind, channel, source, campaign, partner FROM touches ORDER BY at;
