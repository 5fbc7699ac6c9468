-- Films and viewings: one viewer and one film.

CREATE OR REPLACE VIEW $analytics.films $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title',
    genre String COMMENT 'Genre',
    year UInt16 COMMENT 'Year of release',
    duration_ms UInt32 COMMENT 'Length in milliseconds',
    minutes UInt32 COMMENT 'Buckets of the film: its length in minutes, rounded up'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT content_id, title, genre, year, duration_ms, intDiv(duration_ms + 59999, 60000) AS minutes
FROM $database.films FINAL
COMMENT 'The film catalogue';

-- Every film that somebody watched, with its length: the catalogue's, else the greatest that a
-- tick told. The caller's join_use_nulls must not matter, hence ifNull.
CREATE OR REPLACE VIEW $database.watched_films $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    genre String COMMENT 'Genre; empty for a film that the catalogue does not know',
    minutes UInt32 COMMENT 'Buckets of the film'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    told AS
    (
        SELECT content_id, max(duration_ms) AS duration_ms
        FROM $database.viewings
        GROUP BY content_id
    )
SELECT
    told.content_id AS content_id,
    ifNull(film.title, '') AS title,
    ifNull(film.genre, '') AS genre,
    intDiv(if(ifNull(film.duration_ms, 0) > 0, ifNull(film.duration_ms, 0), told.duration_ms) + 59999, 60000) AS minutes
FROM told
LEFT JOIN (SELECT * FROM $database.films FINAL) AS film ON film.content_id = told.content_id
COMMENT 'Films that have viewings, with the length that counts';

CREATE OR REPLACE VIEW $analytics.viewings $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    genre String COMMENT 'Genre; empty for a film that the catalogue does not know',
    viewer UInt64 COMMENT 'Keyed pseudonym of the viewer',
    watched_minutes UInt32 COMMENT 'Minutes of the film in which the viewer was seen; a minute seen twice counts once',
    film_minutes UInt32 COMMENT 'Minutes of the film: the catalogue''s length, else the greatest that a player told, rounded up',
    completion Float64 COMMENT 'watched_minutes / film_minutes, at most 1',
    finished Bool COMMENT 'completion is at least 0.9',
    leaving_minute Nullable(UInt16) COMMENT 'Minute of the last position, counted from 0; NULL where finished',
    last_position_ms UInt32 COMMENT 'Position of the last tick by the client''s clock',
    first_seen DateTime64(3, 'UTC') COMMENT 'First tick by the client''s clock',
    last_seen DateTime64(3, 'UTC') COMMENT 'Last tick by the client''s clock'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    viewing AS
    (
        SELECT
            content_id,
            viewer,
            groupBitmapMerge(watched) AS minutes,
            min(first_seen) AS first_seen,
            max(last) AS last
        FROM $database.viewings
        GROUP BY content_id, viewer
    )
SELECT
    viewing.content_id AS content_id,
    film.title AS title,
    film.genre AS genre,
    viewing.viewer AS viewer,
    viewing.minutes AS watched_minutes,
    film.minutes AS film_minutes,
    least(watched_minutes / film_minutes, 1) AS completion,
    10 * watched_minutes >= 9 * film_minutes AS finished,
    if(finished, NULL, viewing.last.bucket) AS leaving_minute,
    viewing.last.position_ms AS last_position_ms,
    viewing.first_seen AS first_seen,
    viewing.last.occurred_at AS last_seen
FROM viewing
INNER JOIN $database.watched_films AS film ON film.content_id = viewing.content_id
COMMENT 'One viewer and one film, over all time, whatever the sessions and devices';
