-- Read from the raw tables, since no mart keeps devices or searches. A repeated event changes
-- nothing: buckets are a set, and a search is known by its id among those of its viewer.

CREATE OR REPLACE VIEW $analytics.viewings_by_device $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    genre String COMMENT 'Genre; empty for a film that the catalogue does not know',
    viewer UInt64 COMMENT 'Keyed pseudonym of the viewer',
    device String COMMENT 'Kind of device',
    watched_minutes UInt64 COMMENT 'Minutes of the film in which the viewer was seen on this device; a minute seen on two devices counts for each',
    first_seen DateTime64(3, 'UTC') COMMENT 'First tick on it by the client''s clock',
    last_seen DateTime64(3, 'UTC') COMMENT 'Last tick on it by the client''s clock'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    viewing AS
    (
        SELECT
            tick.content_id AS content_id,
            tick.viewer AS viewer,
            tick.device AS device,
            uniqExact(least(intDiv(tick.position_ms, 60000), intDiv(greatest(tick.duration_ms, 1) - 1, 60000))) AS minutes,
            min(tick.occurred_at) AS first_seen,
            max(tick.occurred_at) AS last_seen
        FROM $database.views AS tick
        GROUP BY content_id, viewer, device
    )
SELECT
    viewing.content_id AS content_id,
    ifNull(film.title, '') AS title,
    ifNull(film.genre, '') AS genre,
    viewing.viewer AS viewer,
    viewing.device AS device,
    viewing.minutes AS watched_minutes,
    viewing.first_seen AS first_seen,
    viewing.last_seen AS last_seen
FROM viewing
LEFT JOIN (SELECT * FROM $database.films FINAL) AS film ON film.content_id = viewing.content_id
COMMENT 'One viewer, one film and one kind of device, over all time';

CREATE OR REPLACE VIEW $analytics.searches $on_cluster
(
    searched_at DateTime64(3, 'UTC') COMMENT 'When, by the client''s clock',
    viewer UInt64 COMMENT 'Keyed pseudonym of the viewer',
    filters Map(String, String) COMMENT 'Filter to chosen value; empty for a search without filters'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT
    any(search.occurred_at) AS searched_at,
    search.viewer AS viewer,
    any(search.filters) AS filters
FROM $database.interactions AS search
WHERE search.type = 'search'
GROUP BY search.viewer, search.event_id
COMMENT 'Searches of the catalogue, each once';
