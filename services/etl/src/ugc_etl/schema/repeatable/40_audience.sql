-- Audience by time: approximate, and the columns say so. A slot is a quarter of an hour, so the
-- slots of any time zone in use regroup into its hours without error.

CREATE OR REPLACE VIEW $analytics.audience $on_cluster
(
    slot DateTime('UTC') COMMENT 'Start of a quarter of an hour, UTC',
    viewers_approx UInt64 COMMENT 'Different viewers with a tick in it, approximate; do not add up slots'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT slot, uniqMerge(viewers) AS viewers_approx
FROM $database.audience
GROUP BY slot
COMMENT 'Viewers by quarter of an hour';

CREATE OR REPLACE VIEW $analytics.audience_by_hour $on_cluster
(
    hour DateTime('UTC') COMMENT 'Start of an hour, UTC',
    viewers_approx UInt64 COMMENT 'Different viewers with a tick in it, approximate; do not add up hours'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT toStartOfHour(slot) AS hour, uniqMerge(viewers) AS viewers_approx
FROM $database.audience
GROUP BY hour
COMMENT 'Viewers by hour';

CREATE OR REPLACE VIEW $analytics.audience_by_hour_in $on_cluster
(
    hour DateTime('UTC') COMMENT 'Start of an hour of the time zone, as an instant',
    local_hour String COMMENT 'The same on a clock of the time zone; the hour repeated in autumn comes twice',
    viewers_approx UInt64 COMMENT 'Different viewers with a tick in it, approximate; do not add up hours'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT
    toTimeZone(toStartOfHour(toTimeZone(slot, {time_zone:String})), 'UTC') AS hour,
    formatDateTime(hour, '%Y-%m-%d %H:%i', {time_zone:String}) AS local_hour,
    uniqMerge(viewers) AS viewers_approx
FROM $database.audience
GROUP BY hour
COMMENT 'Viewers by hour of a time zone: SELECT * FROM audience_by_hour_in(time_zone = ''Asia/Kolkata'')';
