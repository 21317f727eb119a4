-- Time series. They are counts of whole hours and days, each made at one go from the
-- rows of its hour or day: a pass. A pass that is not in series_passes is not
-- believed, so one that broke off, or ran beside another, does no harm. Decision 7
-- says why they are exact.

-- Which hours were written to, and when last. A writer says so before it writes.
CREATE TABLE IF NOT EXISTS series_touches {on_cluster} (
  source LowCardinality(String), -- events, syncs
  hour   DateTime('UTC'),
  at     DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
) ENGINE = {replicated}ReplacingMergeTree(at)
ORDER BY (source, hour)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The passes that came to their end; of an hour or day, the one begun last counts.
CREATE TABLE IF NOT EXISTS series_passes {on_cluster} (
  source LowCardinality(String),
  unit   LowCardinality(String), -- hour, day
  bucket DateTime('UTC'),
  pass   UInt64,
  begun  DateTime64(6, 'UTC')
) ENGINE = {replicated}ReplacingMergeTree(begun)
ORDER BY (source, unit, bucket)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- A pass is poured through these two, which keep nothing; the views take it apart.
CREATE TABLE IF NOT EXISTS series_events_in {on_cluster} (
  unit          LowCardinality(String),
  pass          UInt64,
  pixel_id      LowCardinality(String),
  received_at   DateTime64(6, 'UTC'),
  name          LowCardinality(String),
  visitor       UInt64,
  value         Nullable(Float64),
  base_value    Nullable(Float64),
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
  page_path     String,
  currency      LowCardinality(String),
  source        LowCardinality(String),
  keep_days     UInt16
) ENGINE = Null;

CREATE TABLE IF NOT EXISTS series_syncs_in {on_cluster} (
  unit      LowCardinality(String),
  pass      UInt64,
  pixel_id  LowCardinality(String),
  at        DateTime64(6, 'UTC'),
  partner   LowCardinality(String),
  outcome   LowCardinality(String),
  code      LowCardinality(String),
  latency   Int64,
  keep_days UInt16
) ENGINE = Null;

-- Events, revenue and visitors of a minute, hour or day, by pixel and name, and of
-- hours and days by one more dimension too. visitors is empty where dimension is
-- not '': the sets would be larger than the events.
CREATE TABLE IF NOT EXISTS series_events {on_cluster} (
  unit      LowCardinality(String), -- minute, hour, day
  dimension LowCardinality(String), -- '' or a dimension of events
  bucket    DateTime('UTC') CODEC(Delta, ZSTD),
  pixel_id  LowCardinality(String),
  name      LowCardinality(String),
  grp       String CODEC(ZSTD), -- what the events have in that dimension
  pass      UInt64 CODEC(ZSTD),
  events    AggregateFunction(count),
  revenue   AggregateFunction(sumKahan, Float64), -- millionths
  base      AggregateFunction(sumKahan, Float64), -- millionths
  visitors  AggregateFunction(uniqExactIf, UInt64, UInt8),
  keep_days SimpleAggregateFunction(max, UInt16),
  made      SimpleAggregateFunction(max, DateTime('UTC'))
) ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (unit, dimension, bucket, pixel_id, name, grp, pass)
TTL bucket + toIntervalDay(keep_days) + toIntervalDay(1) DELETE WHERE keep_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The sync log by partner, outcome and code, with how long partners took.
CREATE TABLE IF NOT EXISTS series_syncs {on_cluster} (
  unit      LowCardinality(String), -- minute, hour, day
  bucket    DateTime('UTC') CODEC(Delta, ZSTD),
  pixel_id  LowCardinality(String),
  partner   LowCardinality(String),
  outcome   LowCardinality(String),
  code      LowCardinality(String),
  pass      UInt64 CODEC(ZSTD),
  syncs     AggregateFunction(count),
  latency   AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Int64, UInt8),
  keep_days SimpleAggregateFunction(max, UInt16),
  made      SimpleAggregateFunction(max, DateTime('UTC'))
) ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (unit, bucket, pixel_id, partner, outcome, code, pass)
TTL bucket + toIntervalDay(keep_days) + toIntervalDay(1) DELETE WHERE keep_days > 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS series_events_by_minute {on_cluster} TO series_events AS
SELECT 'minute' AS unit, '' AS dimension, toStartOfMinute(received_at) AS bucket, pixel_id, name, '' AS grp, pass,
  countState() AS events, sumKahanState(round(ifNull(value, 0) * 1000000)) AS revenue, sumKahanState(round(ifNull(base_value, 0) * 1000000)) AS base, uniqExactIfState(visitor, visitor != 0) AS visitors,
  max(keep_days) AS keep_days, now('UTC') AS made
FROM series_events_in
WHERE series_events_in.unit = 'hour' -- not the unit that is made
GROUP BY bucket, pixel_id, name, pass;

CREATE MATERIALIZED VIEW IF NOT EXISTS series_events_whole {on_cluster} TO series_events AS
SELECT unit, '' AS dimension, if(unit = 'day', toStartOfDay(received_at), toStartOfHour(received_at)) AS bucket, pixel_id, name, '' AS grp, pass,
  countState() AS events, sumKahanState(round(ifNull(value, 0) * 1000000)) AS revenue, sumKahanState(round(ifNull(base_value, 0) * 1000000)) AS base, uniqExactIfState(visitor, visitor != 0) AS visitors,
  max(keep_days) AS keep_days, now('UTC') AS made
FROM series_events_in
GROUP BY unit, bucket, pixel_id, name, pass;

CREATE MATERIALIZED VIEW IF NOT EXISTS series_events_by_dimension {on_cluster} TO series_events AS
SELECT unit, d.1 AS dimension, if(unit = 'day', toStartOfDay(received_at), toStartOfHour(received_at)) AS bucket, pixel_id, name, d.2 AS grp, pass,
  countState() AS events, sumKahanState(round(ifNull(value, 0) * 1000000)) AS revenue, sumKahanState(round(ifNull(base_value, 0) * 1000000)) AS base, uniqExactIfState(visitor, 0) AS visitors,
  max(keep_days) AS keep_days, now('UTC') AS made
FROM series_events_in
ARRAY JOIN [('consent', toString(consent)), ('device', toString(device)), ('browser', toString(browser)), ('os', toString(os)), ('country', toString(country)),
  ('region', toString(region)), ('city', toString(city)), ('network', toString(network)),
  ('referrer_kind', toString(referrer_kind)), ('referrer_host', toString(referrer_host)), ('utm_source', toString(utm_source)), ('utm_medium', toString(utm_medium)),
  ('utm_campaign', toString(utm_campaign)), ('page_path', page_path), ('currency', toString(currency)), ('source', toString(source))] AS d
GROUP BY unit, dimension, bucket, pixel_id, name, grp, pass;

CREATE MATERIALIZED VIEW IF NOT EXISTS series_syncs_by_minute {on_cluster} TO series_syncs AS
SELECT 'minute' AS unit, toStartOfMinute(at) AS bucket, pixel_id, partner, outcome, code, pass,
  countState() AS syncs, quantilesTDigestIfState(0.5, 0.95, 0.99)(latency, latency > 0) AS latency,
  max(keep_days) AS keep_days, now('UTC') AS made
FROM series_syncs_in
WHERE series_syncs_in.unit = 'hour' -- not the unit that is made
GROUP BY bucket, pixel_id, partner, outcome, code, pass;

CREATE MATERIALIZED VIEW IF NOT EXISTS series_syncs_whole {on_cluster} TO series_syncs AS
SELECT unit, if(unit = 'day', toStartOfDay(at), toStartOfHour(at)) AS bucket, pixel_id, partner, outcome, code, pass,
  countState() AS syncs, quantilesTDigestIfState(0.5, 0.95, 0.99)(latency, latency > 0) AS latency,
  max(keep_days) AS keep_days, now('UTC') AS made
FROM series_syncs_in
GROUP BY unit, bucket, pixel_id, partner, outcome, code, pass;
