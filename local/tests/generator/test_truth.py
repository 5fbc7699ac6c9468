"""The ground truth against a slow recomputation from the bodies sent, and case by case."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from math import ceil
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_events import (
    Bookmark,
    Event,
    Invalid,
    Rating,
    ViewProgress,
    family_of,
)
from ugc_local.generator import Film, FilmTruth, GroundTruth, Plan, Poison, Request
from ugc_local.generator.render import day_start_ms
from ugc_local.generator.truth import Fact, Told, bucket_of
from verdict import judge

DAY = date(2026, 1, 15)
DAYS = 2
START_MS = day_start_ms(DAY)
END_MS = START_MS + DAYS * 86_400_000
Streamed = Callable[[int, int], tuple[Plan, GroundTruth, list[Request], list[Poison]]]


def a_film(duration_ms: int = 600_000) -> Film:
    return Film(
        content_id=UUID(int=duration_ms),
        title="A film",
        genre="drama",
        year=2020,
        duration_ms=duration_ms,
        popularity=1.0,
        finish_share=0.5,
        trap_minute=1,
        trap_share=0.5,
        appeal=0.0,
        next_episode=None,
    )


def tick(at_ms: int, position_ms: int, film: int = 0) -> Fact:
    return Fact("view_progress", film, START_MS + at_ms, f"{at_ms}/{position_ms}", position_ms)


def told(catalogue: Sequence[Film], *facts: tuple[int, Fact]) -> GroundTruth:
    truth = GroundTruth(DAY, catalogue)
    for viewer, fact in facts:
        truth.add(viewer, Told(again=False, facts=[fact]))
    for viewer in dict.fromkeys(viewer for viewer, _ in facts):
        truth.close(viewer)
    return truth


class SlowTruth:
    """docs/metrics.md word by word, over a list of every event that the contract accepts."""

    def __init__(self, requests: Sequence[Request], catalogue: Sequence[Film]) -> None:
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.taken: list[Event] = []
        for request in requests:
            for verdict in judge(request, END_MS):
                if isinstance(verdict, Invalid):
                    self.rejected[verdict.field, verdict.reason.value] += 1
                else:
                    self.taken.append(verdict)
        self.events = list({event.event_id: event for event in self.taken}.values())
        self.minutes = {film.content_id: ceil(film.duration_ms / 60_000) for film in catalogue}
        self.ticks: dict[UUID, dict[UUID, list[ViewProgress]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for event in self.events:
            if isinstance(event, ViewProgress):
                self.ticks[event.content_id][event.user_id].append(event)

    def kinds(self, events: Sequence[Event]) -> Counter[tuple[str, str]]:
        return Counter(
            (family_of(type(event)).name, str(type(event).__struct_config__.tag))
            for event in events
        )

    def watched(self, content_id: UUID, viewer: UUID) -> set[int]:
        return {self.bucket(event) for event in self.ticks[content_id][viewer]}

    def bucket(self, event: ViewProgress) -> int:
        return min(event.position_ms // 60_000, (event.duration_ms - 1) // 60_000)

    def film(self, content_id: UUID) -> dict[str, object]:
        n = self.minutes[content_id]
        sets = [self.watched(content_id, viewer) for viewer in self.ticks[content_id]]
        completions = sorted(min(len(buckets) / n, 1) for buckets in sets)
        leaving: Counter[int] = Counter()
        for viewer, ticks in self.ticks[content_id].items():
            if len(self.watched(content_id, viewer)) / n < 0.9:
                last = max(ticks, key=lambda event: (event.occurred_at, event.position_ms))
                leaving[self.bucket(last)] += 1
        return {
            "viewers": len(sets),
            "watched_minutes": sum(map(len, sets)),
            "finished": sum(completion >= 0.9 for completion in completions),
            "completion_quartiles": tuple(
                completions[ceil(q * len(completions)) - 1] for q in (0.25, 0.5, 0.75)
            ),
            "drop_off_minute": min(leaving, key=lambda b: (-leaving[b], b)) if leaving else None,
            "retention": [sum(minute in buckets for buckets in sets) for minute in range(n)],
        }

    def audience(self, unit_ms: int) -> list[int]:
        present: dict[int, set[UUID]] = defaultdict(set)
        for event in self.events:
            if isinstance(event, ViewProgress):
                present[(event.occurred_at - START_MS) // unit_ms].add(event.user_id)
        return [len(present[unit]) for unit in range((END_MS - START_MS) // unit_ms)]

    def current(self, kind: type[Event]) -> list[Event]:
        last: dict[tuple[UUID, UUID], Event] = {}
        for event in sorted(self.events, key=lambda e: (e.occurred_at, e.event_id)):
            if isinstance(event, kind) and isinstance(event, Rating | Bookmark):
                last[event.user_id, event.content_id] = event
        return list(last.values())


@pytest.mark.parametrize(("seed", "events"), [(11, 30_000), (17, 12_345), (18, 900)])
def test_the_truth_is_what_a_slow_computation_finds(
    streamed: Streamed, seed: int, events: int
) -> None:
    plan, truth, requests, poison = streamed(seed, events)
    slow = SlowTruth(requests, plan.catalogue)

    assert truth.requests == len(requests)
    assert truth.rejected == slow.rejected
    assert truth.accepted == len(slow.taken)
    assert truth.rows == slow.kinds(slow.taken)
    assert truth.events == slow.kinds(slow.events)
    assert truth.dead_letters == Counter(record.expected.reason for record in poison)

    assert set(truth.films) == set(slow.ticks)
    for content_id, film in truth.films.items():
        expected = slow.film(content_id)
        assert {name: getattr(film, name) for name in expected} == expected
    assert truth.audience_by_hour == slow.audience(3_600_000)
    assert truth.audience_by_slot == slow.audience(900_000)
    assert truth.viewers == len({user for users in slow.ticks.values() for user in users})

    scores: dict[UUID, list[int]] = defaultdict(list)
    for event in slow.current(Rating):
        if isinstance(event, Rating) and event.score is not None:
            scores[event.content_id].append(event.score)
    assert truth.ratings == {
        content_id: (len(found), statistics.fmean(found)) for content_id, found in scores.items()
    }
    assert truth.bookmarks == Counter(
        event.content_id
        for event in slow.current(Bookmark)
        if isinstance(event, Bookmark) and event.bookmarked
    )


def test_what_the_comparison_needs_is_in_the_stream(streamed: Streamed) -> None:
    """Else the comparison above would prove less than it says."""
    plan, truth, requests, _ = streamed(11, 30_000)
    slow = SlowTruth(requests, plan.catalogue)
    assert len(slow.taken) > len(slow.events)
    assert truth.ratings
    assert truth.bookmarks
    removed = [event for event in slow.events if isinstance(event, Rating) and event.score is None]
    cleared = [e for e in slow.events if isinstance(e, Bookmark) and not e.bookmarked]
    assert removed
    assert cleared
    assert len(slow.current(Rating)) < slow.kinds(slow.events)["reactions", "rating"]
    moments = Counter(
        (event.user_id, event.content_id, type(event), event.occurred_at)
        for event in slow.events
        if isinstance(event, Rating | Bookmark)
    )
    assert max(moments.values()) == 1
    assert any(
        event.position_ms == event.duration_ms and event.duration_ms % 60_000 == 0
        for event in slow.events
        if isinstance(event, ViewProgress)
    )


@given(st.integers(1, 10**7), st.data())
def test_the_bucket_of_a_tick_is_one_of_the_films(duration_ms: int, data: st.DataObject) -> None:
    position_ms = data.draw(st.integers(0, duration_ms))
    assert 0 <= bucket_of(position_ms, duration_ms) < a_film(duration_ms).minutes


@given(st.lists(st.integers(0, (1 << 10) - 1), min_size=1, max_size=40))
def test_quartiles_are_the_lower_values(bitmaps: list[int]) -> None:
    film = FilmTruth(a_film(duration_ms=600_000))
    for bitmap in bitmaps:
        film.add(bitmap, 0)
    completions = sorted(bitmap.bit_count() / 10 for bitmap in bitmaps)
    assert film.completion_quartiles == tuple(
        completions[ceil(q * len(completions)) - 1] for q in (0.25, 0.5, 0.75)
    )
    assert film.finished == sum(bitmap.bit_count() >= 9 for bitmap in bitmaps)
    assert film.retention == [
        sum(bitmap >> minute & 1 for bitmap in bitmaps) for minute in range(10)
    ]


def test_a_seek_to_the_end_is_not_watching() -> None:
    truth = told([a_film()], (1, tick(0, 0)), (1, tick(5_000, 600_000)))
    (film,) = truth.films.values()
    assert (film.watched_minutes, film.finished, film.drop_off_minute) == (2, 0, 9)


def test_the_last_position_is_the_latest_not_the_furthest() -> None:
    truth = told(
        [a_film()],
        (1, tick(9_000, 60_000)),
        (1, tick(5_000, 480_000)),
        (1, tick(9_000, 125_000)),
    )
    (film,) = truth.films.values()
    assert film.drop_off_minute == 2


def test_of_equally_frequent_minutes_the_earliest_counts() -> None:
    truth = told([a_film()], (1, tick(0, 300_000)), (2, tick(0, 120_000)))
    (film,) = truth.films.values()
    assert film.drop_off_minute == 2


def test_nobody_leaves_a_film_that_everyone_finishes() -> None:
    truth = told([a_film()], *((1, tick(at, at)) for at in range(0, 540_000, 60_000)))
    (film,) = truth.films.values()
    assert (film.finished, film.drop_off_minute, film.abandonment_rate) == (1, None, 0)


def test_a_retry_brings_rows_only() -> None:
    truth = GroundTruth(DAY, [a_film()])
    fact = tick(0, 0)
    for again in (False, True, True):
        truth.add(1, Told(again, [fact]))
    truth.close(1)
    assert (truth.submitted, truth.accepted) == (3, 3)
    assert truth.rows["views", "view_progress"] == 3
    assert truth.events["views", "view_progress"] == 1


def test_of_ratings_in_one_millisecond_the_greatest_event_id_counts() -> None:
    facts = [Fact("rating", 0, START_MS, "b", 9), Fact("rating", 0, START_MS, "a", 2)]
    truth = told([a_film()], *((1, fact) for fact in facts))
    assert list(truth.ratings.values()) == [(1, 9.0)]


def test_a_removed_rating_counts_no_more() -> None:
    film = a_film()
    late_upload = Fact("rating", 0, START_MS + 5, "x", 3)
    removal = Fact("rating", 0, START_MS + 9, "y", None)
    assert told([film], (1, removal), (1, late_upload)).ratings == {}
    assert told([film], (1, late_upload)).ratings == {film.content_id: (1, 3.0)}


def test_rankings_break_ties_as_defined() -> None:
    films = [a_film(600_000 + n) for n in range(3)]
    facts = [(viewer, tick(0, 0, film)) for film in (2, 1) for viewer in range(10)]
    facts += [(viewer, tick(0, 0, 0)) for viewer in range(9)]
    truth = told(films, *facts)
    assert [t.film for t in truth.most_watched()] == [films[1], films[2], films[0]]
    assert [t.film for t in truth.abandoned_most()] == [films[1], films[2]]


def test_watch_time_ranks_before_viewers_and_abandonment_too() -> None:
    films = [a_film(600_000 + n) for n in range(3)]
    finished = [(0, tick(at, at, 0)) for at in range(0, 600_000, 60_000)]
    many = [(viewer, tick(0, 0, 0)) for viewer in range(1, 13)]  # 22 minutes, 13 viewers
    few = [
        (viewer, tick(at, at, 1)) for viewer in range(10) for at in range(0, 300_000, 60_000)
    ]  # 50 minutes, 10 viewers
    equal = [(viewer, tick(0, 0, 2)) for viewer in range(22)]  # 22 minutes, 22 viewers
    truth = told(films, *finished, *many, *few, *equal)
    assert [t.film for t in truth.most_watched()] == [films[1], films[2], films[0]]
    assert [t.film for t in truth.abandoned_most()] == [films[2], films[1], films[0]]


def test_hours_are_those_of_utc() -> None:
    truth = told([a_film()], (1, tick(0, 0)), (1, tick(3_599_999, 0)), (2, tick(3_600_000, 0)))
    assert truth.audience_by_hour[:3] == [1, 1, 0]
    assert truth.audience_by_slot[:6] == [1, 0, 0, 1, 1, 0]
    assert datetime.fromtimestamp(START_MS / 1_000, UTC).date() == DAY
