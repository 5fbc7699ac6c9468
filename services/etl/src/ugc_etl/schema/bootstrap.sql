-- Where the migrations are recorded. Repeated by every `migrate`, before anything else.

CREATE DATABASE IF NOT EXISTS $database $on_cluster;

CREATE DATABASE IF NOT EXISTS $analytics $on_cluster;

CREATE TABLE IF NOT EXISTS $database.schema_migrations $on_cluster
(
    version UInt32 COMMENT 'Number of the migration; 0 for a repeatable file, which is known by its name',
    name String COMMENT 'File without its suffix',
    checksum String COMMENT 'SHA-256 of the migration as written, or of the repeatable file as rendered',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was recorded, by the server'
)
ENGINE = ${replicated}MergeTree($on_every_node)
ORDER BY (version, name, applied_at)
COMMENT 'Schema migrations that were applied here; two that ran at once may both have recorded one';
