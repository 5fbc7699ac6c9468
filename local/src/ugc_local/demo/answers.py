"""The analyst's answers: what the views in `analytics` say, as named figures and as the report.

A figure is a value under a name such as ``("film", content_id, "viewers")``. The ground truth
names its figures in the same way, so that comparing the two is comparing two mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

Name: TypeAlias = tuple[str, ...]
Value: TypeAlias = int | float | str | None
Figures: TypeAlias = dict[Name, Value]
Ask: TypeAlias = Callable[[str], list[dict[str, Any]]]
"""A query's rows as dicts."""

FILM_FIGURES = (
    "title",
    "genre",
    "film_minutes",
    "viewers",
    "watched_minutes",
    "finished",
    "finish_rate",
    "abandonment_rate",
    "completion_q25",
    "completion_q50",
    "completion_q75",
    "drop_off_minute",
)


def figures(ask: Ask) -> Figures:
    """Every exact figure of the report, for every film and every type of event.

    A view that answers a figure twice gives a second one, with the word "again" in its name.
    """
    found: Figures = {}
    for name, value in _figures(ask):
        found[(*name, "again") if name in found else name] = value
    return found


def _figures(ask: Ask) -> Iterator[tuple[Name, Value]]:
    for row in ask("SELECT family, type, rows, events FROM analytics.events"):
        yield ("rows", row["family"], row["type"]), row["rows"]
        yield ("events", row["family"], row["type"]), row["events"]
    columns = ", ".join(FILM_FIGURES)
    for row in ask(f"SELECT content_id, {columns} FROM analytics.film_stats"):
        for name in FILM_FIGURES:
            yield ("film", row["content_id"], name), row[name]
    for row in ask("SELECT content_id, minute, viewers, share FROM analytics.retention"):
        yield ("retention", row["content_id"], str(row["minute"])), row["viewers"]
        yield ("retention share", row["content_id"], str(row["minute"])), row["share"]
    for row in ask("SELECT content_id, ratings, average FROM analytics.ratings"):
        yield ("film", row["content_id"], "ratings"), row["ratings"]
        yield ("film", row["content_id"], "rating_average"), row["average"]
    for row in ask("SELECT content_id, bookmarks FROM analytics.bookmarks"):
        yield ("film", row["content_id"], "bookmarks"), row["bookmarks"]


def most_watched(ask: Ask, limit: int) -> list[dict[str, Any]]:
    """The films with most watch time."""
    return ask(
        "SELECT title, genre, film_minutes, viewers, watched_minutes, finish_rate "
        f"FROM analytics.most_watched LIMIT {limit}"
    )


def abandoned(ask: Ask, limit: int) -> list[dict[str, Any]]:
    """The films that most viewers did not finish, with where they leave."""
    return ask(
        "SELECT content_id, title, film_minutes, viewers, abandonment_rate, completion_q25, "
        f"completion_q50, completion_q75, drop_off_minute FROM analytics.abandoned LIMIT {limit}"
    )


def retention(ask: Ask, content_id: str) -> list[float]:
    """The share of a film's viewers that watched each minute, from minute 0."""
    rows = ask(
        "SELECT minute, share FROM analytics.retention "
        f"WHERE content_id = '{content_id}' ORDER BY minute"
    )
    shares = {row["minute"]: float(row["share"]) for row in rows}
    return [shares.get(minute, 0.0) for minute in range(max(shares, default=-1) + 1)]


@dataclass(frozen=True)
class AudienceHour:
    """Different viewers (approximate) of one hour.

    Attributes:
        hour: counted from the first midnight, UTC.
        label: the local hour of the day.
        viewers: how many.
    """

    hour: int
    label: str
    viewers: int


def audience_by_hour(ask: Ask, time_zone: str, day: date) -> list[AudienceHour]:
    """The hours in which anybody watched, in order, labelled in `time_zone` (an IANA name).

    They are counted from midnight, UTC, of `day`.
    """
    rows = ask(
        f"SELECT dateDiff('hour', toDateTime('{day} 00:00:00', 'UTC'), hour) AS number, "
        f"formatDateTime(hour, '%H:%i', '{time_zone}') AS label, "
        "viewers_approx FROM analytics.audience_by_hour ORDER BY hour"
    )
    return [AudienceHour(row["number"], row["label"], row["viewers_approx"]) for row in rows]


def by_hour_of_day(audience: Sequence[AudienceHour], days: int) -> list[tuple[str, float]]:
    """The mean of some days by hour: the local label and viewers, in the order of the UTC day."""
    sums: dict[int, int] = {}
    labels: dict[int, str] = {}
    for hour in audience:
        number = hour.hour % 24
        labels[number] = hour.label
        sums[number] = sums.get(number, 0) + hour.viewers
    return [(labels[number], sums[number] / days) for number in sorted(sums)]


def rankings(ask: Ask, limit: int) -> Figures:
    """Which film is at which place of the two rankings."""
    return {
        (ranking, f"{place:02}", row["content_id"]): place
        for ranking, view in (("most watched", "most_watched"), ("abandoned most", "abandoned"))
        for place, row in enumerate(
            ask(f"SELECT content_id FROM analytics.{view} LIMIT {limit}"), 1
        )
    }
