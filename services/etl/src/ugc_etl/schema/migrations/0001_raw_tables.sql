-- Raw tables: one row a Kafka record, the truth that everything else is derived from.
--
-- Columns: the envelope and the family's own as in ugc_events.registry, then the pipeline's.
-- Partitions by the record's timestamp, never by the client's clock: a batch is one block in one
-- part, there whole or not at all, and expiry drops whole parts.
-- The indexes hold one entry a part: a read-back of recent offsets skips every older part.
-- `in_time` refuses a batch that a stopped client sends after its token may be forgotten.

CREATE TABLE IF NOT EXISTS $database.views$local $on_cluster
(
    event_id UUID COMMENT 'Of the event; a client that repeats a request repeats it' CODEC(ZSTD(1)),
    type LowCardinality(String) COMMENT 'Event type',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When, by the client''s clock' CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') COMMENT 'When the API took it' CODEC(Delta, ZSTD(1)),
    user_id UUID COMMENT 'Who, from the token' CODEC(ZSTD(1)),
    session_id UUID COMMENT 'One sitting in one app' CODEC(ZSTD(1)),
    schema_version UInt16 COMMENT 'Version of the type that the writer knew',
    content_id UUID COMMENT 'Film' CODEC(ZSTD(1)),
    position_ms UInt32 COMMENT 'Player''s position in the film' CODEC(Delta, ZSTD(1)),
    duration_ms UInt32 COMMENT 'Film''s length as the player told it' CODEC(ZSTD(1)),
    device LowCardinality(String) COMMENT 'Kind of device',
    viewer UInt64 COMMENT 'Keyed pseudonym of user_id' CODEC(ZSTD(1)),
    _timestamp DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record' CODEC(Delta, ZSTD(1)),
    _topic_id UUID COMMENT 'Kafka topic: a topic made anew has another' CODEC(ZSTD(1)),
    _partition UInt32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset' CODEC(Delta, ZSTD(1)),
    _generation UInt32 COMMENT '0, or the number of the replay' CODEC(ZSTD(1)),
    _attempt UInt16 COMMENT '0, or how often the batch was cut anew' CODEC(ZSTD(1)),
    _insert_by DateTime COMMENT 'Deadline of the insert, by this server''s clock' CODEC(Delta, ZSTD(1)),
    INDEX by_partition _partition TYPE minmax GRANULARITY 1000000,
    INDEX by_offset _offset TYPE minmax GRANULARITY 1000000,
    CONSTRAINT in_time CHECK _insert_by >= now()
)
ENGINE = ${replicated}MergeTree($on_shard)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (content_id, viewer, occurred_at)
SETTINGS $deduplication, ttl_only_drop_parts = 1
COMMENT 'Ticks of the players, as received';

CREATE TABLE IF NOT EXISTS $database.interactions$local $on_cluster
(
    event_id UUID COMMENT 'Of the event; a client that repeats a request repeats it' CODEC(ZSTD(1)),
    type LowCardinality(String) COMMENT 'Event type',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When, by the client''s clock' CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') COMMENT 'When the API took it' CODEC(Delta, ZSTD(1)),
    user_id UUID COMMENT 'Who, from the token' CODEC(ZSTD(1)),
    session_id UUID COMMENT 'One sitting in one app' CODEC(ZSTD(1)),
    schema_version UInt16 COMMENT 'Version of the type that the writer knew',
    content_id Nullable(UUID) COMMENT 'Film, where there is one' CODEC(ZSTD(1)),
    path String COMMENT 'Page' CODEC(ZSTD(1)),
    element LowCardinality(String) COMMENT 'click: what was clicked',
    dwell_ms Nullable(UInt32) COMMENT 'page_view: time on the page' CODEC(ZSTD(1)),
    filters Map(String, String) COMMENT 'search: filter to value' CODEC(ZSTD(1)),
    from_quality LowCardinality(String) COMMENT 'quality_change: before',
    to_quality LowCardinality(String) COMMENT 'quality_change: after',
    duration_ms Nullable(UInt32) COMMENT 'view_completed: the film''s length' CODEC(ZSTD(1)),
    viewer UInt64 COMMENT 'Keyed pseudonym of user_id' CODEC(ZSTD(1)),
    _timestamp DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record' CODEC(Delta, ZSTD(1)),
    _topic_id UUID COMMENT 'Kafka topic: a topic made anew has another' CODEC(ZSTD(1)),
    _partition UInt32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset' CODEC(Delta, ZSTD(1)),
    _generation UInt32 COMMENT '0, or the number of the replay' CODEC(ZSTD(1)),
    _attempt UInt16 COMMENT '0, or how often the batch was cut anew' CODEC(ZSTD(1)),
    _insert_by DateTime COMMENT 'Deadline of the insert, by this server''s clock' CODEC(Delta, ZSTD(1)),
    INDEX by_partition _partition TYPE minmax GRANULARITY 1000000,
    INDEX by_offset _offset TYPE minmax GRANULARITY 1000000,
    CONSTRAINT in_time CHECK _insert_by >= now()
)
ENGINE = ${replicated}MergeTree($on_shard)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (type, viewer, occurred_at)
SETTINGS $deduplication, ttl_only_drop_parts = 1
COMMENT 'What people do around the films, as received';

CREATE TABLE IF NOT EXISTS $database.reactions$local $on_cluster
(
    event_id UUID COMMENT 'Of the event; a client that repeats a request repeats it' CODEC(ZSTD(1)),
    type LowCardinality(String) COMMENT 'Event type',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When, by the client''s clock' CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') COMMENT 'When the API took it' CODEC(Delta, ZSTD(1)),
    user_id UUID COMMENT 'Who, from the token' CODEC(ZSTD(1)),
    session_id UUID COMMENT 'One sitting in one app' CODEC(ZSTD(1)),
    schema_version UInt16 COMMENT 'Version of the type that the writer knew',
    content_id UUID COMMENT 'Film' CODEC(ZSTD(1)),
    score Nullable(UInt8) COMMENT 'rating: 0 to 10; NULL when taken back' CODEC(ZSTD(1)),
    bookmarked Nullable(Bool) COMMENT 'bookmark: set or cleared' CODEC(ZSTD(1)),
    text Nullable(String) COMMENT 'review: its text; NULL when taken back' CODEC(ZSTD(1)),
    viewer UInt64 COMMENT 'Keyed pseudonym of user_id' CODEC(ZSTD(1)),
    _timestamp DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record' CODEC(Delta, ZSTD(1)),
    _topic_id UUID COMMENT 'Kafka topic: a topic made anew has another' CODEC(ZSTD(1)),
    _partition UInt32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset' CODEC(Delta, ZSTD(1)),
    _generation UInt32 COMMENT '0, or the number of the replay' CODEC(ZSTD(1)),
    _attempt UInt16 COMMENT '0, or how often the batch was cut anew' CODEC(ZSTD(1)),
    _insert_by DateTime COMMENT 'Deadline of the insert, by this server''s clock' CODEC(Delta, ZSTD(1)),
    INDEX by_partition _partition TYPE minmax GRANULARITY 1000000,
    INDEX by_offset _offset TYPE minmax GRANULARITY 1000000,
    CONSTRAINT in_time CHECK _insert_by >= now()
)
ENGINE = ${replicated}MergeTree($on_shard)
PARTITION BY toYYYYMM(_timestamp)
ORDER BY (type, content_id, viewer, occurred_at)
SETTINGS $deduplication, ttl_only_drop_parts = 1
COMMENT 'Ratings, bookmarks and reviews, as received';

-- Readers ask every shard; writers choose theirs, so the Distributed tables have no sharding key.

-- on a cluster:
CREATE TABLE IF NOT EXISTS $database.views $on_cluster
AS $database.views_local
ENGINE = Distributed('$cluster', '$database', 'views_local')
COMMENT 'Ticks of the players, of every shard';

-- on a cluster:
CREATE TABLE IF NOT EXISTS $database.interactions $on_cluster
AS $database.interactions_local
ENGINE = Distributed('$cluster', '$database', 'interactions_local')
COMMENT 'What people do around the films, of every shard';

-- on a cluster:
CREATE TABLE IF NOT EXISTS $database.reactions $on_cluster
AS $database.reactions_local
ENGINE = Distributed('$cluster', '$database', 'reactions_local')
COMMENT 'Ratings, bookmarks and reviews, of every shard';
