-- The view of that column.

CREATE OR REPLACE VIEW $analytics.releases $on_cluster
(
    release String COMMENT 'Release whose schema it is',
    rows UInt64 COMMENT 'Rows'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT release, count() AS rows FROM $database.views GROUP BY release
COMMENT 'Rows by release';
