-- The proof of each change of a visitor's consent. subject is a digest of the
-- visitor's id, hash the receipt's own; body is the whole receipt as JSON.
CREATE TABLE consent_receipts (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  hash     TEXT    NOT NULL UNIQUE,
  pixel_id TEXT    NOT NULL,
  subject  TEXT    NOT NULL,
  at       INTEGER NOT NULL, -- microseconds since 1970, UTC
  state    TEXT    NOT NULL,
  body     BLOB    NOT NULL
);

CREATE INDEX consent_receipts_by_subject ON consent_receipts (subject, at);
CREATE INDEX consent_receipts_by_time ON consent_receipts (at, pixel_id, state);
