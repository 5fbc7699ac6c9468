-- What operators' commands write down: erasures and replays. Small, and whole on every node, so that
-- any node answers for all shards and a join never leaves it.

CREATE TABLE IF NOT EXISTS $database.erased_places $on_cluster
(
    topic_id UUID COMMENT 'Kafka topic: a topic made anew has another' CODEC(ZSTD(1)),
    partition UInt32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    offset UInt64 COMMENT 'Kafka offset' CODEC(Delta, ZSTD(1)),
    erased_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was recorded, by the server' CODEC(Delta, ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree($on_every_node)
ORDER BY (topic_id, partition, offset)
COMMENT 'Places of records that have no row because their viewer was erased, in every generation; a place may be told twice';

CREATE TABLE IF NOT EXISTS $database.erased_viewers $on_cluster
(
    viewer UInt64 COMMENT 'Keyed pseudonym',
    erased_at DateTime64(3, 'UTC') COMMENT 'Records of the viewer with an earlier timestamp make no rows',
    slots Array(DateTime('UTC')) COMMENT 'While the erasure is under way: quarters of an hour whose audience is still to be counted again',
    completed Bool COMMENT 'Whether the erasure is through',
    updated_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'The newest row of a viewer counts'
)
ENGINE = ${replicated}ReplacingMergeTree(${on_every_node_and}updated_at)
ORDER BY viewer
COMMENT 'Viewers who were erased';

CREATE TABLE IF NOT EXISTS $database.replays $on_cluster
(
    generation UInt32 COMMENT 'Of the rows that the replay writes',
    topic_id UUID COMMENT 'Kafka topic',
    partition UInt32 COMMENT 'Kafka partition',
    start UInt64 COMMENT 'First offset',
    end UInt64 COMMENT 'Offset behind the last',
    state LowCardinality(String) COMMENT 'building: the new rows do not count yet. replacing: they do, and the older generations no more. done: the older are gone. abandoned: the new are gone',
    updated_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'The newest row of a replay''s range counts'
)
ENGINE = ${replicated}ReplacingMergeTree(${on_every_node_and}updated_at)
ORDER BY (generation, topic_id, partition, start, end)
COMMENT 'Ranges that were read again from Kafka into a new generation';
