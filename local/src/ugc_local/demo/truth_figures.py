"""The ground truth under the names that the analyst's figures have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ugc_local.demo.answers import AudienceHour, Figures, Name, Value
from ugc_local.demo.compare import Difference
from ugc_local.generator import GroundTruth

RANKED = 10
"""How many places of the two rankings are shown and compared."""
AUDIENCE_TOLERANCE = 0.02
"""How far an approximate audience may be from the truth, as a share of it."""


def truth_figures(truth: GroundTruth) -> Figures:
    """Every exact figure of the report, as it must be."""
    return dict(_figures(truth))


def _figures(truth: GroundTruth) -> Iterator[tuple[Name, Value]]:
    for (family, event_type), count in truth.rows.items():
        yield ("rows", family, event_type), count
    for (family, event_type), count in truth.events.items():
        yield ("events", family, event_type), count
    for content_id, film in truth.films.items():
        name = str(content_id)
        q25, q50, q75 = film.completion_quartiles
        for figure, value in (
            ("title", film.film.title),
            ("genre", film.film.genre),
            ("film_minutes", film.film.minutes),
            ("viewers", film.viewers),
            ("watched_minutes", film.watched_minutes),
            ("finished", film.finished),
            ("finish_rate", film.finish_rate),
            ("abandonment_rate", film.abandonment_rate),
            ("completion_q25", q25),
            ("completion_q50", q50),
            ("completion_q75", q75),
            ("drop_off_minute", film.drop_off_minute),
        ):
            yield ("film", name, figure), value
        for minute, viewers in enumerate(film.retention):
            yield ("retention", name, str(minute)), viewers
            yield ("retention share", name, str(minute)), viewers / film.viewers
    for content_id, (ratings, average) in truth.ratings.items():
        yield ("film", str(content_id), "ratings"), ratings
        yield ("film", str(content_id), "rating_average"), average
    for content_id, bookmarks in truth.bookmarks.items():
        yield ("film", str(content_id), "bookmarks"), bookmarks
    yield from refusals(truth.rejected, truth.dead_letters).items()
    yield ("accepted",), truth.accepted
    yield ("answers that were not due",), 0
    for place, film in enumerate(truth.most_watched()[:RANKED], 1):
        yield ("most watched", f"{place:02}", str(film.film.content_id)), place
    for place, film in enumerate(truth.abandoned_most()[:RANKED], 1):
        yield ("abandoned most", f"{place:02}", str(film.film.content_id)), place


def refusals(rejected: Mapping[tuple[str, str], int], dead: Mapping[str, int]) -> Figures:
    """What the API and the ETL refused, as figures."""
    figures: Figures = {
        ("rejected", f or "event", reason): n for (f, reason), n in rejected.items()
    }
    return figures | {("dead letters", reason): count for reason, count in dead.items()}


def audience_differences(hours: Sequence[AudienceHour], truth: GroundTruth) -> list[Difference]:
    """The hours whose approximate audience is further from the truth than is promised."""
    found = {hour.hour: hour.viewers for hour in hours}
    return [
        Difference(
            ("audience (approximate)", f"day {1 + hour // 24}, {hour % 24:02}:00 UTC"),
            due,
            found.get(hour, 0),
        )
        for hour, due in enumerate(truth.audience_by_hour)
        if abs(found.get(hour, 0) - due) > AUDIENCE_TOLERANCE * due
    ]
