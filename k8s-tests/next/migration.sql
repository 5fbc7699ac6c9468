-- What the release after this one might add: a column that consumers of today do not know.

ALTER TABLE $database.views$local $on_cluster ADD COLUMN IF NOT EXISTS release LowCardinality(String) DEFAULT 'next' COMMENT 'Release whose schema it is';
