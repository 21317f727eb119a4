-- What is elsewhere kept for a while, and here for good. The queues' books: how many
-- messages of a pixel, received in an hour, came to a stage in a queue.
CREATE TABLE ledger (
  hour     INTEGER NOT NULL, -- hours since 1970
  pixel_id TEXT    NOT NULL,
  queue    TEXT    NOT NULL,
  stage    TEXT    NOT NULL,
  n        INTEGER NOT NULL,
  read_at  INTEGER NOT NULL, -- microseconds since 1970, UTC
  PRIMARY KEY (hour, pixel_id, queue, stage)
) WITHOUT ROWID;

-- Who changed what; body is the line as the console wrote it.
CREATE TABLE audit (
  id     TEXT    PRIMARY KEY,
  at     INTEGER NOT NULL, -- microseconds since 1970, UTC
  actor  TEXT    NOT NULL,
  action TEXT    NOT NULL,
  target TEXT    NOT NULL,
  body   BLOB    NOT NULL
) WITHOUT ROWID;
