-- What is elsewhere kept for a while, and here for good: neither has a TTL.

-- The queues' books: how many messages of a pixel, received in an hour, came to a stage
-- in a queue. Counts only grow; of one what was read last stands.
CREATE TABLE IF NOT EXISTS ledger {on_cluster} (
  hour     DateTime('UTC') CODEC(Delta, ZSTD),
  pixel_id LowCardinality(String),
  queue    LowCardinality(String),
  stage    LowCardinality(String),
  n        Int64 CODEC(ZSTD),
  read_at  DateTime64(6, 'UTC') CODEC(Delta, ZSTD)
) ENGINE = {replicated}ReplacingMergeTree(read_at)
PARTITION BY toYear(hour)
ORDER BY (hour, pixel_id, queue, stage)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {window};

-- Who changed what. body is the line as the console wrote it; of copies the first
-- written stays.
CREATE TABLE IF NOT EXISTS audit {on_cluster} (
  id      String CODEC(ZSTD),
  at      DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  actor   String CODEC(ZSTD),
  action  LowCardinality(String),
  target  String CODEC(ZSTD),
  body    String CODEC(ZSTD(3)),
  seq     UInt64 CODEC(Delta, ZSTD),
  version UInt64 MATERIALIZED bitNot(seq)
) ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {window};
