-- The catalogue: small, written seldom, joined by most views. Every node of a cluster has all of
-- it, so that a join never leaves the node.

CREATE TABLE IF NOT EXISTS $database.films $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title',
    genre LowCardinality(String) COMMENT 'Genre',
    year UInt16 COMMENT 'Year of release',
    duration_ms UInt32 COMMENT 'Length',
    updated_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'The newest row of a film counts',
    CONSTRAINT has_a_length CHECK duration_ms > 0
)
ENGINE = ${replicated}ReplacingMergeTree(${on_every_node_and}updated_at)
ORDER BY content_id
COMMENT 'Film catalogue';
