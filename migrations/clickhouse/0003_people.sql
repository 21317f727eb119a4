-- Whose a visitor is; the greatest version stands. An empty profile says that he
-- stands for himself again.
CREATE TABLE IF NOT EXISTS identities {on_cluster} (
  pixel_id   LowCardinality(String),
  visitor_id String CODEC(ZSTD),
  profile_id String CODEC(ZSTD),
  version    Int64,
  rank       UInt64 MATERIALIZED reinterpretAsUInt64(version) CODEC(Delta, ZSTD),
  INDEX by_profile profile_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(rank)
ORDER BY (pixel_id, visitor_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {window};

-- What visitors came by. Of several with one id the earliest counts, and of those at
-- one time the one written first.
CREATE TABLE IF NOT EXISTS touches {on_cluster} (
  id         String CODEC(ZSTD),
  pixel_id   LowCardinality(String),
  visitor_id String CODEC(ZSTD),
  event_id   String CODEC(ZSTD),
  at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  kind       LowCardinality(String),
  channel    LowCardinality(String),
  source     String CODEC(ZSTD),
  campaign   String CODEC(ZSTD),
  partner    LowCardinality(String),
  keep_days  UInt16 CODEC(ZSTD),
  seq        UInt64 CODEC(Delta, ZSTD),
  rank       UInt128 MATERIALIZED bitShiftLeft(toUInt128(bitNot(reinterpretAsUInt64(toUnixTimestamp64Micro(at)))), 64) + bitNot(seq) CODEC(ZSTD),
  INDEX by_at at TYPE minmax GRANULARITY 1,
  INDEX by_event event_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(rank)
ORDER BY (id, pixel_id)
TTL toDateTime(at) + toIntervalDay(keep_days) DELETE WHERE keep_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {window};

-- What one model gives the touchpoints of one conversion: one row, so that a set is
-- replaced whole. The greatest version stands, and of those the one written last.
-- Weights and money are millionths; body is the set as JSON.
CREATE TABLE IF NOT EXISTS credit_sets {on_cluster} (
  event_id    String CODEC(ZSTD),
  pixel_id    LowCardinality(String),
  model       LowCardinality(String),
  version     Int64,
  received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  name        LowCardinality(String),
  currency    LowCardinality(String),
  touch_id    Array(String) CODEC(ZSTD),
  kind        Array(LowCardinality(String)),
  channel     Array(LowCardinality(String)),
  source      Array(String) CODEC(ZSTD),
  campaign    Array(String) CODEC(ZSTD),
  partner     Array(LowCardinality(String)),
  weight      Array(Int64) CODEC(ZSTD),
  value       Array(Int64) CODEC(ZSTD),
  refunded    Array(Int64) CODEC(ZSTD),
  body        String CODEC(ZSTD(3)),
  keep_days   UInt16 CODEC(ZSTD),
  seq         UInt64 CODEC(Delta, ZSTD),
  rank        UInt128 MATERIALIZED bitShiftLeft(toUInt128(reinterpretAsUInt64(version)), 64) + seq CODEC(ZSTD),
  INDEX by_received received_at TYPE minmax GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(rank)
ORDER BY (event_id, pixel_id, model)
TTL toDateTime(received_at) + toIntervalDay(keep_days) DELETE WHERE keep_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {window};
