-- What an operator may change of tables that exist: windows and retention. Applied again whenever
-- the deployment's values change, at no cost while they do not.

ALTER TABLE $database.views$local $on_cluster MODIFY SETTING $deduplication;
ALTER TABLE $database.interactions$local $on_cluster MODIFY SETTING $deduplication;
ALTER TABLE $database.reactions$local $on_cluster MODIFY SETTING $deduplication;
ALTER TABLE $database.viewings$local $on_cluster MODIFY SETTING $deduplication;
ALTER TABLE $database.audience$local $on_cluster MODIFY SETTING $deduplication;
ALTER TABLE $database.current_reactions$local $on_cluster MODIFY SETTING $deduplication;

-- By the record's timestamp, in whole parts (ttl_only_drop_parts): rows may outlive it by a month.

-- with a retention:
ALTER TABLE $database.views$local $on_cluster MODIFY TTL toDate(_timestamp) + toIntervalDay($raw_retention_days);

-- with a retention:
ALTER TABLE $database.interactions$local $on_cluster MODIFY TTL toDate(_timestamp) + toIntervalDay($raw_retention_days);

-- with a retention:
ALTER TABLE $database.reactions$local $on_cluster MODIFY TTL toDate(_timestamp) + toIntervalDay($raw_retention_days);
