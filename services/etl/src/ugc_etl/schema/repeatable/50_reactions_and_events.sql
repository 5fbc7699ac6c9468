-- Reactions as they are now, and what the raw tables hold.

CREATE OR REPLACE VIEW $analytics.ratings $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    ratings UInt64 COMMENT 'Viewers with a score; a rating taken back counts no more',
    average Float64 COMMENT 'Average of the current scores, 0 to 10'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    reaction AS
    (
        SELECT content_id, viewer, max(last).value AS score
        FROM $database.current_reactions
        WHERE type = 'rating'
        GROUP BY content_id, viewer
    )
SELECT
    reaction.content_id AS content_id,
    any(ifNull(film.title, '')) AS title,
    count() AS ratings,
    avg(reaction.score) AS average
FROM reaction
LEFT JOIN (SELECT * FROM $database.films FINAL) AS film ON film.content_id = reaction.content_id
WHERE reaction.score >= 0
GROUP BY reaction.content_id
COMMENT 'Current ratings of films that have any';

CREATE OR REPLACE VIEW $analytics.bookmarks $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    bookmarks UInt64 COMMENT 'Viewers whose bookmark is set'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    reaction AS
    (
        SELECT content_id, viewer, max(last).value AS bookmarked
        FROM $database.current_reactions
        WHERE type = 'bookmark'
        GROUP BY content_id, viewer
    )
SELECT
    reaction.content_id AS content_id,
    any(ifNull(film.title, '')) AS title,
    count() AS bookmarks
FROM reaction
LEFT JOIN (SELECT * FROM $database.films FINAL) AS film ON film.content_id = reaction.content_id
WHERE reaction.bookmarked = 1
GROUP BY reaction.content_id
COMMENT 'Current bookmarks of films that have any';

-- Of a range that is being replayed one generation counts: the old one, until the new one is whole.
CREATE OR REPLACE VIEW $analytics.events $on_cluster
(
    family String COMMENT 'Family of events',
    type String COMMENT 'Event type',
    rows UInt64 COMMENT 'Rows: one a Kafka record, so a client''s retry is a second one',
    events UInt64 COMMENT 'Events: different event_id of a viewer, exact',
    last_received DateTime64(3, 'UTC') COMMENT 'When the API took the newest of them'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    (
        SELECT groupArray((topic_id, partition, start, end, generation, state))
        FROM
        (
            SELECT topic_id, partition, start, end, generation, argMax(state, updated_at) AS state
            FROM $database.replays
            GROUP BY topic_id, partition, start, end, generation
        )
        WHERE state IN ('building', 'replacing')
    ) AS uncounted
SELECT family, type, sum(arrivals) AS rows, count() AS events, max(newest) AS last_received
FROM
(
    -- Grouped, not uniqExact: a group may spill to the disk, a set may not.
    SELECT family, type, viewer, event_id, count() AS arrivals, max(received_at) AS newest
    FROM
    (
        SELECT 'views' AS family, type, viewer, event_id, received_at, _topic_id, _partition, _offset, _generation FROM $database.views
        UNION ALL
        SELECT 'interactions' AS family, type, viewer, event_id, received_at, _topic_id, _partition, _offset, _generation FROM $database.interactions
        UNION ALL
        SELECT 'reactions' AS family, type, viewer, event_id, received_at, _topic_id, _partition, _offset, _generation FROM $database.reactions
    )
    WHERE NOT arrayExists(r -> r.1 = _topic_id AND r.2 = _partition AND _offset >= r.3 AND _offset < r.4 AND if(r.6 = 'building', _generation = r.5, _generation < r.5), uncounted)
    GROUP BY family, type, viewer, event_id
)
GROUP BY family, type
COMMENT 'Rows and events of the raw tables by type';
