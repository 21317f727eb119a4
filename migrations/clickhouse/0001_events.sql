-- {on_cluster} and {replicated} are filled in by clickhouse.cluster. Each statement
-- does nothing when it is done again, so that a migration may stop anywhere.

-- One row an event. The key is the pixel and the time of receipt, by which nearly
-- all questions select; a copy of a row has the same key, and of copies the one that
-- was stored first stays, since version falls as seq grows. writer and seq are the
-- order of storage: each process that writes has a number, and counts in
-- microseconds that only grow.
CREATE TABLE IF NOT EXISTS events {on_cluster} (
  pixel_id      LowCardinality(String),
  received_at   DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  id            String CODEC(ZSTD),
  time          DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  name          LowCardinality(String),
  visitor_id    String CODEC(ZSTD),
  visitor       UInt64 MATERIALIZED if(visitor_id = '', 0, xxh3(visitor_id)),
  order_id      String CODEC(ZSTD),
  value         Nullable(Float64) CODEC(ZSTD), -- as it was sent; null where there is none
  base_value    Nullable(Float64) CODEC(ZSTD), -- in the currency that all sites are compared in
  consent       LowCardinality(String),
  device        LowCardinality(String),
  browser       LowCardinality(String),
  os            LowCardinality(String),
  country       LowCardinality(String),
  region        LowCardinality(String),
  city          LowCardinality(String),
  network       LowCardinality(String),
  referrer_kind LowCardinality(String),
  referrer_host LowCardinality(String),
  utm_source    LowCardinality(String),
  utm_medium    LowCardinality(String),
  utm_campaign  LowCardinality(String),
  page_path     String CODEC(ZSTD),
  currency      LowCardinality(String),
  source        LowCardinality(String),
  -- For whoever asks in SQL; the rest of an event is in body.
  url           String CODEC(ZSTD(3)),
  properties    String CODEC(ZSTD(3)),
  -- What a search looks through, in lower case: the name, the address and the title,
  -- each behind 0xFF, then the event's, order's and visitor's ids, each behind 0xFE.
  search        String CODEC(ZSTD(3)),
  -- The whole event as modules/event encodes it.
  body          String CODEC(ZSTD(3)),
  -- How long the pixel keeps its events; 0: for ever.
  keep_days     UInt16 CODEC(ZSTD),
  writer        UInt32 CODEC(ZSTD),
  seq           UInt64 CODEC(Delta, ZSTD),
  version       UInt64 MATERIALIZED bitNot(seq) CODEC(Delta, ZSTD),
  INDEX by_received received_at TYPE minmax GRANULARITY 1,
  INDEX by_seq seq TYPE minmax GRANULARITY 1,
  INDEX by_visitor visitor_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX by_order order_id TYPE bloom_filter(0.01) GRANULARITY 1,
  PROJECTION by_id (SELECT id, pixel_id, received_at, seq ORDER BY id, pixel_id)
) ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(received_at)
ORDER BY (pixel_id, received_at, id)
TTL toDateTime(received_at) + toIntervalDay(keep_days) DELETE WHERE keep_days > 0
SETTINGS deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild',
  fsync_after_insert = 1, fsync_part_directory = 1, {window};

-- One event, one partner, one attempt; of copies the one written last stays. Ids of
-- events grow with time, so the key keeps together what happened together.
CREATE TABLE IF NOT EXISTS syncs {on_cluster} (
  event_id   String CODEC(ZSTD),
  pixel_id   LowCardinality(String),
  partner    LowCardinality(String),
  attempt    Int32 CODEC(ZSTD),
  at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  outcome    LowCardinality(String),
  code       LowCardinality(String),
  order_id   String CODEC(ZSTD),
  latency    Int64 CODEC(ZSTD), -- nanoseconds
  body       String CODEC(ZSTD(3)), -- the whole line as JSON
  keep_days  UInt16 CODEC(ZSTD),
  seq        UInt64 CODEC(Delta, ZSTD),
  INDEX by_at at TYPE minmax GRANULARITY 1,
  INDEX by_order order_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(seq)
PARTITION BY toYYYYMM(at)
ORDER BY (event_id, pixel_id, partner, attempt)
TTL toDateTime(at) + toIntervalDay(keep_days) DELETE WHERE keep_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {window};

-- How well a partner could match an event that was routed to it; the last written stays.
CREATE TABLE IF NOT EXISTS matches {on_cluster} (
  event_id    String CODEC(ZSTD),
  pixel_id    LowCardinality(String),
  partner     LowCardinality(String),
  received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  name        LowCardinality(String),
  grade       LowCardinality(String),
  keys        Array(LowCardinality(String)),
  missing     Array(LowCardinality(String)),
  keep_days   UInt16 CODEC(ZSTD),
  seq         UInt64 CODEC(Delta, ZSTD),
  INDEX by_received received_at TYPE minmax GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(seq)
PARTITION BY toYYYYMM(received_at)
ORDER BY (event_id, pixel_id, partner)
TTL toDateTime(received_at) + toIntervalDay(keep_days) DELETE WHERE keep_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {window};

-- The proof of each change of a visitor's consent. It has no TTL: a proof is kept for
-- as long as the law asks for it, whatever the pixel keeps of its events. body is the
-- receipt as JSON, of which its hash and the next one's Prev are made; the first
-- written stays.
CREATE TABLE IF NOT EXISTS consent_receipts {on_cluster} (
  pixel_id LowCardinality(String),
  subject  String CODEC(ZSTD),
  at       DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  hash     String CODEC(ZSTD),
  state    LowCardinality(String),
  body     String CODEC(ZSTD(3)),
  seq      UInt64 CODEC(Delta, ZSTD),
  version  UInt64 MATERIALIZED bitNot(seq),
  INDEX by_subject subject TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX by_at at TYPE minmax GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYear(at)
ORDER BY (pixel_id, subject, at, hash)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {window};
