"""The answers, computed from what was sent by the definitions of docs/metrics.md.

Nothing here knows the pipeline: no code of it, no SQL. Memory is bounded: what is known of a viewer
lives until that viewer is closed, and is then folded into sums per film and per slot of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import NamedTuple
from uuid import UUID

from ugc_local.generator.catalogue import MINUTE_MS, Film
from ugc_local.generator.messages import Refusal

SLOT_MS = 15 * MINUTE_MS
SLOTS = 96
_SLOTS_OF_AN_HOUR = 4
_EVENTS_FAMILIES = {
    "view_progress": "views",
    "click": "interactions",
    "page_view": "interactions",
    "search": "interactions",
    "quality_change": "interactions",
    "view_completed": "interactions",
    "rating": "reactions",
    "bookmark": "reactions",
    "review": "reactions",
}


class Fact(NamedTuple):
    """An event that must be accepted, as far as any question asks about it.

    `film` is an index of the catalogue or -1; `occurred_at` ms since the epoch; `value` is the
    position of a tick (ms), the score of a rating (None: removed), the state of a bookmark.
    """

    type: str
    film: int
    occurred_at: int
    event_id: str
    value: int | bool | None


@dataclass(slots=True)
class FilmTruth:
    """What is true of the viewings of one film.

    Attributes:
        film: its entry in the catalogue.
        viewers: viewings.
        watched_minutes: watched buckets, summed over viewings.
        finished: viewings with 10 × watched ≥ 9 × n buckets.
        by_watched_minutes: index w holds the viewings with w watched buckets, 0 … n.
        leaving: index b holds the unfinished viewings whose last position is in bucket b.
        retention: index b holds the viewings whose watched buckets contain b.
    """

    film: Film
    viewers: int = 0
    watched_minutes: int = 0
    finished: int = 0
    by_watched_minutes: list[int] = field(init=False)
    leaving: list[int] = field(init=False)
    retention: list[int] = field(init=False)

    def __post_init__(self) -> None:
        n = self.film.minutes
        self.by_watched_minutes = [0] * (n + 1)
        self.leaving = [0] * n
        self.retention = [0] * n

    def add(self, watched: int, last_position_ms: int) -> None:
        """Fold in one viewing: its watched buckets as a bit set, and its last position."""
        n = self.film.minutes
        minutes = watched.bit_count()
        self.viewers += 1
        self.watched_minutes += minutes
        self.by_watched_minutes[minutes] += 1
        if 10 * minutes >= 9 * n:
            self.finished += 1
        else:
            self.leaving[bucket_of(last_position_ms, self.film.duration_ms)] += 1
        for bucket in range(watched.bit_length()):
            self.retention[bucket] += watched >> bucket & 1

    @property
    def finish_rate(self) -> float:
        return self.finished / self.viewers

    @property
    def abandonment_rate(self) -> float:
        """1 − finish rate."""
        return 1 - self.finish_rate

    @property
    def completion_quartiles(self) -> tuple[float, float, float]:
        """Completions at index ⌈qm⌉ of the m sorted ones, for q of 1/4, 1/2, 3/4."""
        return self._completion(1), self._completion(2), self._completion(3)

    def _completion(self, quarters: int) -> float:
        rank = -(-quarters * self.viewers // 4)
        for minutes, viewings in enumerate(self.by_watched_minutes):
            rank -= viewings
            if rank <= 0:
                return min(minutes / self.film.minutes, 1.0)
        raise ValueError("a film without viewings has no quartiles")

    @property
    def drop_off_minute(self) -> int | None:
        """The most frequent leaving minute, the earliest of equals; None if everyone finished."""
        most = max(self.leaving)
        return self.leaving.index(most) if most else None


def bucket_of(position_ms: int, duration_ms: int) -> int:
    """The one-minute bucket of a tick, never beyond the film's last."""
    return min(position_ms // MINUTE_MS, (duration_ms - 1) // MINUTE_MS)


class Told(NamedTuple):
    """All that is to be known of one request, or of one poison record.

    Attributes:
        again: a client's retry: it brings rows, but nothing that was not known.
        facts: its events that must be accepted.
        refusals: what must be said of the others.
        poison: what must be said of the record; None for a request.
    """

    again: bool
    facts: Sequence[Fact] = ()
    refusals: Sequence[Refusal] = ()
    poison: Refusal | None = None


@dataclass(slots=True)
class _Viewing:
    watched: int = 0
    last: tuple[int, int] = (-1, -1)


@dataclass(slots=True)
class _Viewer:
    """What is known of one viewer: by film, slots in which there was a tick, as bits."""

    viewings: dict[int, _Viewing] = field(default_factory=dict)
    slots: int = 0
    reactions: dict[tuple[str, int], Fact] = field(default_factory=dict)


class GroundTruth:
    """Every exact figure of some days. Read it when every viewer is closed.

    Attributes:
        day, days: the UTC days of every event that must be accepted.
        requests, submitted: what the API was sent, retries and malformed events included.
        accepted: events for which it must answer `accepted`.
        rejected: (field, reason) → events for which it must answer `invalid`.
        dead_letters: reason → poison records put into Kafka.
        rows: (family, type) → accepted events, each time they were sent: rows of raw tables.
        events: (family, type) → different `event_id` among them.
        viewers: viewers with at least one tick.
        films: content_id → what is true of a film; only films with a viewing.
        audience_by_slot: different viewers with a tick in each quarter hour from the first
            midnight.
        audience_by_hour: the same for hours.
    """

    def __init__(self, day: date, catalogue: Sequence[Film], days: int = 1) -> None:
        self.day = day
        self.days = days
        self.requests = 0
        self.submitted = 0
        self.accepted = 0
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.rows: Counter[tuple[str, str]] = Counter()
        self.events: Counter[tuple[str, str]] = Counter()
        self.viewers = 0
        self.films: dict[UUID, FilmTruth] = {}
        self.audience_by_slot = [0] * SLOTS * days
        self.audience_by_hour = [0] * 24 * days
        self._start_ms = int(datetime.combine(day, time(), UTC).timestamp()) * 1_000
        self._catalogue = catalogue
        self._scores: dict[int, tuple[int, int]] = {}  # film → how many, their sum
        self._bookmarks: Counter[int] = Counter()
        self._open: dict[int, _Viewer] = {}

    def add(self, viewer: int, told: Told) -> None:
        """Count a request or a poison record of the viewer, who is not closed."""
        if told.poison is not None:
            self.dead_letters[told.poison.reason] += 1
            return
        self.requests += 1
        self.submitted += len(told.facts) + len(told.refusals)
        self.accepted += len(told.facts)
        self.rejected.update(told.refusals)
        known = self._open.get(viewer)
        if known is None:
            known = self._open[viewer] = _Viewer()
        for fact in told.facts:
            kind = (_EVENTS_FAMILIES[fact.type], fact.type)
            self.rows[kind] += 1
            if not told.again:
                self.events[kind] += 1
                if fact.type == "view_progress":
                    self._tick(known, fact)
                elif fact.type in {"rating", "bookmark"}:
                    _react(known, fact)

    def close(self, viewer: int) -> None:
        """Fold what is known of the viewer into sums; nothing more may come from there."""
        known = self._open.pop(viewer, None)
        if known is None:
            return
        for film, viewing in known.viewings.items():
            entry = self._catalogue[film]
            truth = self.films.get(entry.content_id)
            if truth is None:
                truth = self.films[entry.content_id] = FilmTruth(entry)
            truth.add(viewing.watched, viewing.last[1])
        self.viewers += bool(known.slots)
        for slot in _bits(known.slots):
            self.audience_by_slot[slot] += 1
        for hour in {slot // _SLOTS_OF_AN_HOUR for slot in _bits(known.slots)}:
            self.audience_by_hour[hour] += 1
        for (kind, film), fact in known.reactions.items():
            if fact.value is None:
                continue
            if kind == "bookmark":
                self._bookmarks[film] += fact.value
            else:
                number, total = self._scores.get(film, (0, 0))
                self._scores[film] = number + 1, total + fact.value

    @property
    def ratings(self) -> dict[UUID, tuple[int, float]]:
        """content_id → current scores: how many, their average. Films without one are absent."""
        return {
            self._catalogue[film].content_id: (number, total / number)
            for film, (number, total) in self._scores.items()
        }

    @property
    def bookmarks(self) -> dict[UUID, int]:
        """content_id → viewers whose bookmark is set. Films without one are absent."""
        return {self._catalogue[f].content_id: n for f, n in self._bookmarks.items() if n}

    def most_watched(self) -> list[FilmTruth]:
        """By watch time, then viewers, descending, then content_id as text."""
        return sorted(
            self.films.values(),
            key=lambda t: (-t.watched_minutes, -t.viewers, str(t.film.content_id)),
        )

    def abandoned_most(self) -> list[FilmTruth]:
        """Films of 10 viewers or more: by abandonment, then viewers, then content_id as text."""
        return sorted(
            (truth for truth in self.films.values() if truth.viewers >= 10),
            key=lambda t: (-t.abandonment_rate, -t.viewers, str(t.film.content_id)),
        )

    def _tick(self, known: _Viewer, fact: Fact) -> None:
        position_ms = fact.value or 0
        viewing = known.viewings.get(fact.film)
        if viewing is None:
            viewing = known.viewings[fact.film] = _Viewing()
        viewing.watched |= 1 << bucket_of(position_ms, self._catalogue[fact.film].duration_ms)
        viewing.last = max(viewing.last, (fact.occurred_at, position_ms))
        known.slots |= 1 << (fact.occurred_at - self._start_ms) // SLOT_MS


def _react(known: _Viewer, fact: Fact) -> None:
    current = known.reactions.get((fact.type, fact.film))
    if current is None or (current.occurred_at, current.event_id) < (
        fact.occurred_at,
        fact.event_id,
    ):
        known.reactions[fact.type, fact.film] = fact


def _bits(bits: int) -> Iterator[int]:
    """The places of the bits that are set."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
