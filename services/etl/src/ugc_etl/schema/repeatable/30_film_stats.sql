-- Figures of a film. Quartiles: quantilesExactWeighted gives the lower value, c at ceil(q m), as
-- docs/metrics.md defines it; quantileExact and quantileExactLow do not (for q m whole they take
-- the next). Drop-off: sumMap's keys are sorted, so the first of equal counts is the earliest;
-- topK would be approximate.

CREATE OR REPLACE VIEW $analytics.film_stats $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    genre String COMMENT 'Genre; empty for a film that the catalogue does not know',
    film_minutes UInt32 COMMENT 'Minutes of the film',
    viewers UInt64 COMMENT 'Viewers, exact',
    watched_minutes UInt64 COMMENT 'Watch time: watched minutes of all viewers',
    finished UInt64 COMMENT 'Viewers who finished',
    finish_rate Float64 COMMENT 'finished / viewers',
    abandonment_rate Float64 COMMENT '1 - finish_rate',
    completion_q25 Float64 COMMENT 'Lower quartile of completion: the lower value, not interpolated',
    completion_q50 Float64 COMMENT 'Median of completion: the lower value, not interpolated',
    completion_q75 Float64 COMMENT 'Upper quartile of completion: the lower value, not interpolated',
    drop_off_minute Nullable(UInt16) COMMENT 'Minute where most of those who did not finish were last, the earliest of equals; NULL where all finished'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    film AS
    (
        SELECT
            content_id,
            any(title) AS title,
            any(genre) AS genre,
            any(film_minutes) AS film_minutes,
            count() AS viewers,
            sum(watched_minutes) AS watched_minutes,
            countIf(finished) AS finished_viewers,
            quantilesExactWeighted(0.25, 0.5, 0.75)(completion, 1) AS quartiles,
            sumMapIf([ifNull(leaving_minute, 0)], [toUInt64(1)], NOT finished) AS leaving
        FROM $analytics.viewings
        GROUP BY content_id
    )
SELECT
    content_id,
    title,
    genre,
    film_minutes,
    viewers,
    watched_minutes,
    finished_viewers AS finished,
    finished_viewers / viewers AS finish_rate,
    1 - finish_rate AS abandonment_rate,
    quartiles[1] AS completion_q25,
    quartiles[2] AS completion_q50,
    quartiles[3] AS completion_q75,
    if(finished_viewers = viewers, NULL, leaving.1[indexOf(leaving.2, arrayMax(leaving.2))]) AS drop_off_minute
FROM film
COMMENT 'Figures of every film that somebody watched';

CREATE OR REPLACE VIEW $analytics.most_watched $on_cluster
(
    place UInt64 COMMENT 'Place, from 1',
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    genre String COMMENT 'Genre; empty for a film that the catalogue does not know',
    film_minutes UInt32 COMMENT 'Minutes of the film',
    viewers UInt64 COMMENT 'Viewers, exact',
    watched_minutes UInt64 COMMENT 'Watch time: watched minutes of all viewers',
    finished UInt64 COMMENT 'Viewers who finished',
    finish_rate Float64 COMMENT 'finished / viewers',
    abandonment_rate Float64 COMMENT '1 - finish_rate',
    completion_q25 Float64 COMMENT 'Lower quartile of completion',
    completion_q50 Float64 COMMENT 'Median of completion',
    completion_q75 Float64 COMMENT 'Upper quartile of completion',
    drop_off_minute Nullable(UInt16) COMMENT 'Minute where most of those who did not finish were last; NULL where all finished'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT
    row_number() OVER (ORDER BY watched_minutes DESC, viewers DESC, toString(content_id)) AS place,
    *
FROM $analytics.film_stats
ORDER BY place
COMMENT 'Films by watch time, then viewers, then content_id';

CREATE OR REPLACE VIEW $analytics.abandoned $on_cluster
(
    place UInt64 COMMENT 'Place, from 1',
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    genre String COMMENT 'Genre; empty for a film that the catalogue does not know',
    film_minutes UInt32 COMMENT 'Minutes of the film',
    viewers UInt64 COMMENT 'Viewers, exact; at least 10',
    watched_minutes UInt64 COMMENT 'Watch time: watched minutes of all viewers',
    finished UInt64 COMMENT 'Viewers who finished',
    finish_rate Float64 COMMENT 'finished / viewers',
    abandonment_rate Float64 COMMENT '1 - finish_rate',
    completion_q25 Float64 COMMENT 'Lower quartile of completion',
    completion_q50 Float64 COMMENT 'Median of completion',
    completion_q75 Float64 COMMENT 'Upper quartile of completion',
    drop_off_minute Nullable(UInt16) COMMENT 'Minute where most of those who did not finish were last; NULL where all finished'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
SELECT
    row_number() OVER (ORDER BY abandonment_rate DESC, viewers DESC, toString(content_id)) AS place,
    *
FROM $analytics.film_stats
WHERE viewers >= 10
ORDER BY place
COMMENT 'Films with at least 10 viewers by abandonment rate, then viewers, then content_id';

CREATE OR REPLACE VIEW $analytics.retention $on_cluster
(
    content_id UUID COMMENT 'Film',
    title String COMMENT 'Title; empty for a film that the catalogue does not know',
    minute UInt16 COMMENT 'Minute of the film, counted from 0; every minute of the film has a row',
    viewers UInt64 COMMENT 'Viewers who watched this minute',
    share Float64 COMMENT 'viewers / all viewers of the film'
)
DEFINER = $definer SQL SECURITY DEFINER
AS
WITH
    viewing AS
    (
        SELECT content_id, viewer, groupBitmapMergeState(watched) AS watched
        FROM $database.viewings
        GROUP BY content_id, viewer
    ),
    film AS
    (
        SELECT
            content_id,
            count() AS viewers,
            sumForEach(arrayMap(minute -> bitmapContains(watched, minute), range(bitmapMax(watched) + 1))) AS minutes
        FROM viewing
        GROUP BY content_id
    ),
    padded AS
    (
        SELECT
            film.content_id AS content_id,
            known.title AS title,
            film.viewers AS film_viewers,
            arrayResize(film.minutes, greatest(known.minutes, length(film.minutes))) AS minutes
        FROM film
        INNER JOIN $database.watched_films AS known ON known.content_id = film.content_id
    )
SELECT
    content_id,
    title,
    toUInt16(number - 1) AS minute,
    minute_viewers AS viewers,
    minute_viewers / film_viewers AS share
FROM padded
ARRAY JOIN minutes AS minute_viewers, arrayEnumerate(minutes) AS number
COMMENT 'How many viewers watched each minute of a film';
