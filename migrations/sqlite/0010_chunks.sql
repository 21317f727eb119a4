-- The columns that questions select and count by, once more and apart: of some thousand
-- events that follow one another by seq, one blob a column. A question that no roll-up
-- answers reads the columns it asks for, and no event; columns.go has their form. Chunks
-- are made when events are rolled up, and reach up to rolled.seq; of one that events were
-- deleted from nothing is kept, and it is made anew.
CREATE TABLE chunks (
  id    INTEGER PRIMARY KEY AUTOINCREMENT, -- a chunk that is made anew has another
  first INTEGER NOT NULL, -- seq of the events that it stands for
  last  INTEGER NOT NULL,
  n     INTEGER NOT NULL, -- how many there are
  since INTEGER NOT NULL, -- when the first and the last of them was received
  until INTEGER NOT NULL
);
CREATE UNIQUE INDEX chunks_by_last ON chunks (last);

CREATE TABLE chunk_columns (
  chunk INTEGER NOT NULL,
  name  TEXT    NOT NULL,
  body  BLOB    NOT NULL
);
CREATE UNIQUE INDEX chunk_columns_by_name ON chunk_columns (chunk, name);

CREATE TRIGGER columns_go_with_chunks AFTER DELETE ON chunks BEGIN
  DELETE FROM chunk_columns WHERE chunk = old.id;
END;

-- How often events were deleted: what is kept in memory of events is of one such state.
ALTER TABLE rolled ADD COLUMN cuts INTEGER NOT NULL DEFAULT 0;

-- What was rolled up before there were chunks is rolled up anew.
DELETE FROM rollups;
DELETE FROM sums;
DELETE FROM visitor_sets;
UPDATE rolled SET seq = 0;
