"""Every view against a computation in Python from docs/metrics.md, on small random data.

One module although it is long: one schema and one way of drawing ticks serve all views, and the
expected figures build on each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ugc_etl.schema import Deployment, SchemaClient, migrate

MINUTE_MS = 60_000
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z

# The order of these as UUIDs of ClickHouse, which compares second halves first, is another than
# as text.
FILMS = [
    UUID("0fffffff-0000-4000-8000-000000000003"),
    UUID("1fffffff-0000-4000-8000-000000000002"),
    UUID("2fffffff-0000-4000-8000-000000000001"),
    UUID("3fffffff-0000-4000-8000-000000000000"),
]
CATALOGUE = {FILMS[0]: 3 * MINUTE_MS, FILMS[1]: 10 * MINUTE_MS + 1, FILMS[2]: MINUTE_MS - 1}
EVENT_IDS = [UUID(int=(n << 64) | (9 - n)) for n in range(6)]


@dataclass(frozen=True)
class Tick:
    film: UUID
    viewer: int
    at_ms: int
    position_ms: int
    duration_ms: int
    device: str = "tv"

    @property
    def bucket(self) -> int:
        return min(self.position_ms // MINUTE_MS, (self.duration_ms - 1) // MINUTE_MS)


@dataclass(frozen=True)
class Reaction:
    type: str
    event_id: UUID
    film: UUID
    viewer: int
    at_ms: int
    value: int | None


@st.composite
def ticks_of(draw: st.DrawFn) -> Tick:
    film = draw(st.sampled_from(FILMS))
    # A player may disagree with the catalogue, and the one unknown film has two lengths.
    lengths = [CATALOGUE.get(film, 4 * MINUTE_MS), 12 * MINUTE_MS, 1]
    duration = draw(st.sampled_from(lengths))
    minutes = st.integers(0, duration // MINUTE_MS).map(lambda m: m * MINUTE_MS)
    position = draw(st.one_of(st.just(duration), minutes, st.integers(0, duration)))
    at = START_MS + draw(st.integers(0, 40)) * 7 * MINUTE_MS + draw(st.sampled_from([0, 1]))
    device = draw(st.sampled_from(["tv", "web"]))
    return Tick(film, draw(st.integers(1, 14)), at, position, duration, device)


ticks_lists = st.lists(ticks_of(), min_size=1, max_size=60)

reactions_lists = st.lists(
    st.builds(
        Reaction,
        type=st.sampled_from(["rating", "bookmark", "review"]),
        event_id=st.sampled_from(EVENT_IDS),
        film=st.sampled_from(FILMS[:2] + FILMS[3:]),
        viewer=st.integers(1, 3),
        at_ms=st.integers(START_MS, START_MS + 2),
        value=st.sampled_from([None, 0, 1, 7, 10]),
    ),
    max_size=30,
)


def whole(film: UUID, viewer: int, minutes: int, duration_ms: int) -> list[Tick]:
    """A viewing of the first `minutes` minutes."""
    return [
        Tick(film, viewer, START_MS + m * MINUTE_MS, m * MINUTE_MS, duration_ms)
        for m in range(minutes)
    ]


# Ten viewers, the abandoned list's threshold; the leaving minutes 2 and 5 tie.
TIE = [
    tick
    for viewer in range(10)
    for tick in whole(FILMS[3], viewer, 3 if viewer % 2 else 6, 8 * MINUTE_MS)
]
# Nine of ten buckets: finished exactly at 90 %.
NINE_TENTHS = whole(FILMS[3], 1, 9, 10 * MINUTE_MS) + whole(FILMS[3], 2, 8, 10 * MINUTE_MS)
# A seek to the very end is not watching.
SEEK = [
    Tick(FILMS[0], 1, START_MS, 0, 3 * MINUTE_MS),
    Tick(FILMS[0], 1, START_MS + 1, 3 * MINUTE_MS, 3 * MINUTE_MS),
]
# Four viewers with four completions: q m is whole for every quartile.
QUARTILES = [
    tick for viewer in range(4) for tick in whole(FILMS[1], viewer, 2 + viewer, 11 * MINUTE_MS)
]
# The player knows a longer film than the catalogue does: completion stays 1.
LONGER = whole(FILMS[0], 1, 5, 12 * MINUTE_MS)


@dataclass(frozen=True)
class Schema:
    engine: SchemaClient
    deployment: Deployment

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a SELECT on the analysts' database, as dictionaries."""
        sql = sql.replace("analytics.", f"{self.deployment.analytics_database}.")
        columns = [str(row[0]) for row in self.engine.execute(f"DESCRIBE ({sql})")]
        return [dict(zip(columns, row, strict=True)) for row in self.engine.execute(sql)]

    def empty(self) -> None:
        for table in ("views", "reactions", "viewings", "audience", "current_reactions"):
            self.engine.execute(f"TRUNCATE TABLE {self.deployment.table(table)}")


@pytest.fixture(scope="module")
def schema(engine: SchemaClient, module_deployment: Deployment) -> Schema:
    migrate(engine, module_deployment)
    # Two rows of a film, in parts that are not merged: the newer one counts.
    engine.execute(f"SYSTEM STOP MERGES {module_deployment.table('films')}")
    for updated, add_ms, title in (
        ("2026-01-01", 77 * MINUTE_MS, "Old"),
        ("2026-01-02", 0, "Film"),
    ):
        for number, (film, duration_ms) in enumerate(CATALOGUE.items()):
            engine.execute(
                f"INSERT INTO {module_deployment.table('films')} VALUES"
                f" ('{film}', '{title} {number}', 'drama', 1999, {duration_ms + add_ms},"
                f" '{updated} 00:00:00')"
            )
    return Schema(engine, module_deployment)


@pytest.fixture
def fill(schema: Schema, insert: Callable[..., None]) -> Callable[..., None]:
    def fill(ticks: list[Tick], reactions: list[Reaction]) -> None:
        schema.empty()
        table = schema.deployment.table("views")
        # Two parts, overlapping: what is repeated across parts is merged by the views.
        for some in (ticks[: len(ticks) * 2 // 3], ticks[len(ticks) // 3 :]):
            rows = [
                {
                    "type": "view_progress",
                    "content_id": tick.film,
                    "viewer": tick.viewer,
                    "occurred_at": _text(tick.at_ms),
                    "position_ms": tick.position_ms,
                    "duration_ms": tick.duration_ms,
                    "device": tick.device,
                }
                for tick in some
            ]
            if rows:
                insert(schema.engine, table, rows)
        reacted: list[dict[str, object]] = [
            {
                "type": reaction.type,
                "event_id": reaction.event_id,
                "content_id": reaction.film,
                "viewer": reaction.viewer,
                "occurred_at": _text(reaction.at_ms),
                "score": reaction.value if reaction.type == "rating" else None,
                "bookmarked": int(bool(reaction.value)) if reaction.type == "bookmark" else None,
            }
            for reaction in reactions
        ]
        for part in (reacted, reacted[: len(reacted) // 2]):
            if part:
                insert(schema.engine, schema.deployment.table("reactions"), part)

    return fill


def _text(ms: int) -> str:
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ms % 1000:03}"


def _title(film: UUID) -> str:
    return f"Film {list(CATALOGUE).index(film)}" if film in CATALOGUE else ""


def expected_viewings(ticks: list[Tick]) -> dict[tuple[str, int], dict[str, Any]]:
    told: dict[UUID, int] = {}
    for tick in ticks:
        told[tick.film] = max(told.get(tick.film, 0), tick.duration_ms)
    found = {}
    for film, viewer in {(tick.film, tick.viewer) for tick in ticks}:
        mine = [tick for tick in ticks if (tick.film, tick.viewer) == (film, viewer)]
        watched = {tick.bucket for tick in mine}
        n = math.ceil(CATALOGUE.get(film, told[film]) / MINUTE_MS)
        last = max(mine, key=lambda tick: (tick.at_ms, tick.position_ms, tick.bucket))
        finished = 10 * len(watched) >= 9 * n
        found[str(film), viewer] = {
            "watched": watched,
            "content_id": str(film),
            "title": _title(film),
            "genre": "drama" if film in CATALOGUE else "",
            "viewer": viewer,
            "watched_minutes": len(watched),
            "film_minutes": n,
            "completion": min(len(watched) / n, 1),
            "finished": finished,
            "leaving_minute": None if finished else last.bucket,
            "last_position_ms": last.position_ms,
            "first_seen": _text(min(tick.at_ms for tick in mine)),
            "last_seen": _text(last.at_ms),
        }
    return found


def expected_films(viewings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for film in {viewing["content_id"] for viewing in viewings}:
        mine = [viewing for viewing in viewings if viewing["content_id"] == film]
        finished = sum(viewing["finished"] for viewing in mine)
        completions = sorted(viewing["completion"] for viewing in mine)
        leaving = Counter(v["leaving_minute"] for v in mine if not v["finished"])
        found[film] = {
            **{name: mine[0][name] for name in ("content_id", "title", "genre", "film_minutes")},
            "viewers": len(mine),
            "watched_minutes": sum(viewing["watched_minutes"] for viewing in mine),
            "finished": finished,
            "finish_rate": finished / len(mine),
            "abandonment_rate": 1 - finished / len(mine),
            **{
                f"completion_q{q}": completions[math.ceil(q * len(mine) / 100) - 1]
                for q in (25, 50, 75)
            },
            "drop_off_minute": min(leaving, key=lambda m: (-leaving[m], m), default=None),
        }
    return found


example_settings = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@example_settings
@example(ticks=TIE)
@example(ticks=NINE_TENTHS)
@example(ticks=SEEK)
@example(ticks=QUARTILES)
@example(ticks=LONGER)
@given(ticks=ticks_lists)
def test_viewings_and_films(schema: Schema, fill: Callable[..., None], ticks: list[Tick]) -> None:
    fill(ticks, [])
    expected = expected_viewings(ticks)

    viewings = schema.ask("SELECT * FROM analytics.viewings")
    assert {(row["content_id"], row["viewer"]): row for row in viewings} == {
        key: {name: value for name, value in row.items() if name != "watched"}
        for key, row in expected.items()
    }
    assert len(viewings) == len(expected)

    films = expected_films(list(expected.values()))
    found = schema.ask("SELECT * FROM analytics.film_stats")
    assert {row["content_id"]: row for row in found} == films
    assert len(found) == len(films)

    ranked = sorted(
        films.values(), key=lambda f: (-f["watched_minutes"], -f["viewers"], f["content_id"])
    )
    assert schema.ask("SELECT * FROM analytics.most_watched") == [
        {"place": place, **film} for place, film in enumerate(ranked, 1)
    ]
    ranked = sorted(
        (film for film in films.values() if film["viewers"] >= 10),
        key=lambda f: (-f["abandonment_rate"], -f["viewers"], f["content_id"]),
    )
    assert schema.ask("SELECT * FROM analytics.abandoned") == [
        {"place": place, **film} for place, film in enumerate(ranked, 1)
    ]


@example_settings
@given(ticks=ticks_lists)
def test_viewings_by_device(schema: Schema, fill: Callable[..., None], ticks: list[Tick]) -> None:
    fill(ticks, [])
    expected = {}
    for film, viewer, device in {(tick.film, tick.viewer, tick.device) for tick in ticks}:
        mine = [t for t in ticks if (t.film, t.viewer, t.device) == (film, viewer, device)]
        expected[str(film), viewer, device] = {
            "content_id": str(film),
            "title": _title(film),
            "genre": "drama" if film in CATALOGUE else "",
            "viewer": viewer,
            "device": device,
            "watched_minutes": len({tick.bucket for tick in mine}),
            "first_seen": _text(min(tick.at_ms for tick in mine)),
            "last_seen": _text(max(tick.at_ms for tick in mine)),
        }
    found = schema.ask("SELECT * FROM analytics.viewings_by_device")
    assert {(r["content_id"], r["viewer"], r["device"]): r for r in found} == expected
    assert len(found) == len(expected)


@example_settings
@given(ticks=ticks_lists)
def test_retention_has_every_minute(
    schema: Schema, fill: Callable[..., None], ticks: list[Tick]
) -> None:
    fill(ticks, [])
    viewings = list(expected_viewings(ticks).values())
    expected = []
    for film, stats in expected_films(viewings).items():
        sets = [viewing["watched"] for viewing in viewings if viewing["content_id"] == film]
        for minute in range(max(stats["film_minutes"], max(map(max, sets)) + 1)):
            watching = sum(minute in watched for watched in sets)
            expected.append(
                {
                    "content_id": film,
                    "title": stats["title"],
                    "minute": minute,
                    "viewers": watching,
                    "share": watching / len(sets),
                }
            )
    found = schema.ask("SELECT * FROM analytics.retention ORDER BY toString(content_id), minute")
    assert found == sorted(expected, key=lambda row: (row["content_id"], row["minute"]))


def _audience(ticks: list[Tick], zone: ZoneInfo, minutes: int) -> dict[datetime, int]:
    """Viewers by stretch of `minutes` on the clock of `zone`, keyed by its start in UTC."""
    viewers: dict[datetime, set[int]] = {}
    for tick in ticks:
        moment = datetime.fromtimestamp(tick.at_ms // 1000, UTC)
        local = moment.astimezone(zone)
        start = moment - timedelta(minutes=local.minute % minutes, seconds=local.second)
        viewers.setdefault(start, set()).add(tick.viewer)
    return {start: len(seen) for start, seen in viewers.items()}


@example_settings
@given(ticks=ticks_lists)
@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"])
def test_audience(schema: Schema, fill: Callable[..., None], zone: str, ticks: list[Tick]) -> None:
    # Around the end of summer time in New York, 2026-11-01T06:00Z: one local hour comes twice.
    autumn_ms = int(datetime(2026, 11, 1, 4, tzinfo=UTC).timestamp() * 1000) - START_MS
    ticks = [replace(tick, at_ms=tick.at_ms + autumn_ms) for tick in ticks]
    fill(ticks, [])

    # `uniq` is exact for so few.
    for view, column, minutes in (("audience", "slot", 15), ("audience_by_hour", "hour", 60)):
        rows = schema.ask(f"SELECT {column}, viewers_approx FROM analytics.{view}")
        expected = _audience(ticks, ZoneInfo("UTC"), minutes)
        assert {row[column]: row["viewers_approx"] for row in rows} == {
            f"{start:%Y-%m-%d %H:%M:%S}": viewers for start, viewers in expected.items()
        }
        assert len(rows) == len(expected)

    rows = schema.ask(f"SELECT * FROM analytics.audience_by_hour_in(time_zone = '{zone}')")
    expected = _audience(ticks, ZoneInfo(zone), 60)
    assert sorted(tuple(row.values()) for row in rows) == sorted(
        (
            f"{start:%Y-%m-%d %H:%M:%S}",
            f"{start.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}",
            viewers,
        )
        for start, viewers in expected.items()
    )


# The later id as bytes has the smaller second half.
LATER_ID = [
    Reaction("rating", EVENT_IDS[number], FILMS[0], 1, START_MS, score)
    for number, score in ((1, 7), (2, 10))
]


@example_settings
@example(reactions=LATER_ID)
@given(reactions=reactions_lists)
def test_ratings_and_bookmarks(
    schema: Schema, fill: Callable[..., None], reactions: list[Reaction]
) -> None:
    # An event has one content: of two with one id, keep the first.
    reactions = list({(r.event_id, r.type): r for r in reversed(reactions)}.values())
    fill([], reactions)
    scores: dict[str, list[int]] = {}
    bookmarks: Counter[str] = Counter()
    for kind, film, viewer in {(r.type, r.film, r.viewer) for r in reactions}:
        mine = [r for r in reactions if (r.type, r.film, r.viewer) == (kind, film, viewer)]
        value = max(mine, key=lambda r: (r.at_ms, r.event_id.int)).value
        if kind == "rating" and value is not None:
            scores.setdefault(str(film), []).append(value)
        if kind == "bookmark" and value:
            bookmarks[str(film)] += 1

    found = schema.ask("SELECT * FROM analytics.ratings")
    assert {row["content_id"]: row for row in found} == {
        film: {
            "content_id": film,
            "title": _title(UUID(film)),
            "ratings": len(values),
            "average": sum(values) / len(values),
        }
        for film, values in scores.items()
    }
    found = schema.ask("SELECT * FROM analytics.bookmarks")
    assert {row["content_id"]: (row["title"], row["bookmarks"]) for row in found} == {
        film: (_title(UUID(film)), count) for film, count in bookmarks.items()
    }


def test_films_are_the_newest_rows_of_the_catalogue(schema: Schema) -> None:
    assert schema.ask("SELECT * FROM analytics.films ORDER BY title") == [
        {
            "content_id": str(film),
            "title": _title(film),
            "genre": "drama",
            "year": 1999,
            "duration_ms": duration_ms,
            "minutes": math.ceil(duration_ms / MINUTE_MS),
        }
        for film, duration_ms in CATALOGUE.items()
    ]


def test_events_tell_rows_from_events(
    schema: Schema, fill: Callable[..., None], insert: Callable[..., None]
) -> None:
    fill([], [])
    for offset, event_id in enumerate((EVENT_IDS[0], EVENT_IDS[0], EVENT_IDS[1])):
        insert(
            schema.engine,
            schema.deployment.table("views"),
            [
                {
                    "type": "view_progress",
                    "event_id": event_id,
                    "received_at": _text(START_MS + offset % 2),
                    "_offset": offset,
                }
            ],
        )
    schema.engine.execute(f"TRUNCATE TABLE {schema.deployment.table('interactions')}")
    click: dict[str, object] = {"type": "click", "received_at": _text(START_MS)}
    insert(
        schema.engine,
        schema.deployment.table("interactions"),
        [click | {"event_id": EVENT_IDS[0]}, click | {"event_id": EVENT_IDS[1], "type": "search"}],
    )
    rows = schema.ask("SELECT * FROM analytics.events ORDER BY family, type")
    assert [tuple(row.values()) for row in rows] == [
        ("interactions", "click", 1, 1, _text(START_MS)),
        ("interactions", "search", 1, 1, _text(START_MS)),
        ("views", "view_progress", 3, 2, _text(START_MS + 1)),
    ]


def test_searches_come_once_each(schema: Schema, insert: Callable[..., None]) -> None:
    table = schema.deployment.table("interactions")
    schema.engine.execute(f"TRUNCATE TABLE {table}")
    search = {"type": "search", "occurred_at": _text(START_MS), "viewer": 3}
    drama = search | {"event_id": EVENT_IDS[0], "filters": {"genre": "drama", "sort": "new"}}
    for rows in ([drama], [drama, search | {"event_id": EVENT_IDS[1], "viewer": 4}]):
        insert(schema.engine, table, rows)
    insert(schema.engine, table, [search | {"event_id": EVENT_IDS[2], "type": "click"}])
    assert schema.ask("SELECT * FROM analytics.searches ORDER BY viewer") == [
        {
            "searched_at": _text(START_MS),
            "viewer": viewer,
            "filters": filters,
        }
        for viewer, filters in ((3, drama["filters"]), (4, {}))
    ]


def test_an_id_that_somebody_else_uses_hides_nothing(
    schema: Schema, insert: Callable[..., None]
) -> None:
    table = schema.deployment.table("interactions")
    schema.engine.execute(f"TRUNCATE TABLE {table}")
    search = {"type": "search", "occurred_at": _text(START_MS), "event_id": EVENT_IDS[0]}
    insert(schema.engine, table, [search | {"viewer": viewer} for viewer in (3, 4, 4)])
    assert schema.ask("SELECT viewer FROM analytics.searches ORDER BY viewer") == [
        {"viewer": 3},
        {"viewer": 4},
    ]
    assert schema.ask("SELECT rows, events FROM analytics.events WHERE type = 'search'") == [
        {"rows": 3, "events": 2}
    ]


@pytest.mark.parametrize("viewers", range(1, 33))
def test_quartiles_are_the_lower_values(schema: Schema, viewers: int) -> None:
    """The one function of the engine that gives c at index ceil(q m), with any duplicates."""
    values = [(n * 7) % 5 for n in range(viewers)]
    ((found,),) = schema.engine.execute(
        f"SELECT quantilesExactWeighted(0.25, 0.5, 0.75)(arrayJoin({values}), 1)"
    )
    assert found == [sorted(values)[math.ceil(q * viewers) - 1] for q in (0.25, 0.5, 0.75)]


@pytest.mark.parametrize("setting", ["join_use_nulls = 1", "final = 1", "enable_analyzer = 1"])
def test_a_callers_settings_do_not_bend_the_figures(
    schema: Schema, fill: Callable[..., None], setting: str
) -> None:
    ticks = TIE + whole(FILMS[0], 1, 2, 3 * MINUTE_MS)
    fill(ticks, [Reaction("rating", EVENT_IDS[0], FILMS[3], 1, START_MS, 7)])
    for view in (
        *("viewings", "viewings_by_device", "film_stats", "retention"),
        *("ratings", "bookmarks", "audience"),
    ):
        sql = f"SELECT * FROM analytics.{view} ORDER BY ALL"
        assert schema.ask(f"{sql} SETTINGS {setting}") == schema.ask(sql)
