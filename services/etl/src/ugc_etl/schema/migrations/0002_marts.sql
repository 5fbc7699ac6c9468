-- Marts: states that a repeated event cannot bend (a set, a greatest, a least, a uniq), so that
-- client retries, replays and a block that reaches a view twice change nothing.
-- A materialized view's target needs its own deduplication window, or a repeated token doubles it.
-- Bucket of a tick: docs/metrics.md.

CREATE TABLE IF NOT EXISTS $database.viewings$local $on_cluster
(
    content_id UUID COMMENT 'Film' CODEC(ZSTD(1)),
    viewer UInt64 COMMENT 'Keyed pseudonym' CODEC(ZSTD(1)),
    watched AggregateFunction(groupBitmap, UInt16) COMMENT 'Watched buckets: the minutes of the film with a tick' CODEC(ZSTD(1)),
    duration_ms SimpleAggregateFunction(max, UInt32) COMMENT 'Greatest length that a tick told' CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Least occurred_at' CODEC(ZSTD(1)),
    last SimpleAggregateFunction(max, Tuple(occurred_at DateTime64(3, 'UTC'), position_ms UInt32, bucket UInt16)) COMMENT 'Last tick by occurred_at, then position: the greatest of the tuples' CODEC(ZSTD(1))
)
ENGINE = ${replicated}AggregatingMergeTree($on_shard)
ORDER BY (content_id, viewer)
SETTINGS $deduplication
COMMENT 'One viewer and one film, over all time';

CREATE MATERIALIZED VIEW IF NOT EXISTS $database.viewings_mv $on_cluster
TO $database.viewings$local
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    toUInt16(least(intDiv(tick.position_ms, 60000), intDiv(greatest(tick.duration_ms, 1) - 1, 60000))) AS bucket
SELECT
    tick.content_id AS content_id,
    tick.viewer AS viewer,
    groupBitmapState(bucket) AS watched,
    max(tick.duration_ms) AS duration_ms,
    min(tick.occurred_at) AS first_seen,
    max((tick.occurred_at, tick.position_ms, bucket)) AS last
FROM $database.views$local AS tick
GROUP BY content_id, viewer;

CREATE TABLE IF NOT EXISTS $database.audience$local $on_cluster
(
    slot DateTime('UTC') COMMENT 'Start of a quarter of an hour of occurred_at' CODEC(ZSTD(1)),
    viewers AggregateFunction(uniq, UInt64) COMMENT 'Different viewers with a tick in it, approximate' CODEC(ZSTD(1))
)
ENGINE = ${replicated}AggregatingMergeTree($on_shard)
ORDER BY slot
SETTINGS $deduplication
COMMENT 'Viewers by quarter of an hour';

CREATE MATERIALIZED VIEW IF NOT EXISTS $database.audience_mv $on_cluster
TO $database.audience$local
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT
    toDateTime(intDiv(toUnixTimestamp64Milli(occurred_at), 900000) * 900, 'UTC') AS slot,
    uniqState(viewer) AS viewers
FROM $database.views$local
GROUP BY slot;

CREATE TABLE IF NOT EXISTS $database.current_reactions$local $on_cluster
(
    type LowCardinality(String) COMMENT 'rating or bookmark',
    content_id UUID COMMENT 'Film' CODEC(ZSTD(1)),
    viewer UInt64 COMMENT 'Keyed pseudonym' CODEC(ZSTD(1)),
    last SimpleAggregateFunction(max, Tuple(occurred_at DateTime64(3, 'UTC'), event_id FixedString(16), value Int16)) COMMENT 'Last one by occurred_at, then event_id as bytes (a UUID compares by its second half first). value: the score, or 1 for a bookmark that is set and 0 for a cleared one; -1 when taken back' CODEC(ZSTD(1))
)
ENGINE = ${replicated}AggregatingMergeTree($on_shard)
ORDER BY (type, content_id, viewer)
SETTINGS $deduplication
COMMENT 'Ratings and bookmarks as they are now';

CREATE MATERIALIZED VIEW IF NOT EXISTS $database.current_reactions_mv $on_cluster
TO $database.current_reactions$local
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT
    type,
    content_id,
    viewer,
    max((occurred_at, UUIDToNum(event_id), toInt16(coalesce(score, toUInt8(bookmarked), -1)))) AS last
FROM $database.reactions$local
WHERE type IN ('rating', 'bookmark')
GROUP BY type, content_id, viewer;

-- on a cluster:
CREATE TABLE IF NOT EXISTS $database.viewings $on_cluster
AS $database.viewings_local
ENGINE = Distributed('$cluster', '$database', 'viewings_local')
COMMENT 'One viewer and one film, over all time, of every shard';

-- on a cluster:
CREATE TABLE IF NOT EXISTS $database.audience $on_cluster
AS $database.audience_local
ENGINE = Distributed('$cluster', '$database', 'audience_local')
COMMENT 'Viewers by quarter of an hour, of every shard';

-- on a cluster:
CREATE TABLE IF NOT EXISTS $database.current_reactions $on_cluster
AS $database.current_reactions_local
ENGINE = Distributed('$cluster', '$database', 'current_reactions_local')
COMMENT 'Ratings and bookmarks as they are now, of every shard';
