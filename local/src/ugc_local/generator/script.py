"""A viewer's days, decided before a byte of them is written.

The script is small whatever the viewer does: twenty ticks of playback are one `Run`. So many
viewers' scripts can be sorted by time while their bodies are rendered one by one, and the number
of events is known beforehand.
"""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp, log
from random import Random
from statistics import NormalDist
from typing import TypeVar

from ugc_local.generator.catalogue import MINUTE_MS, Film, Shelf
from ugc_local.generator.habits import Habits
from ugc_local.generator.outbox import FLUSH_EVENTS, Outbox, Shares
from ugc_local.generator.pieces import DAY_MS, NO_FILM, TICK_MS, Flush, Rogue, Run, Single

_T = TypeVar("_T")
_HOUR_MS = 3_600_000
_QUALITIES = ("480p", "720p", "1080p", "2160p")
_REVIEWS = (
    "Could not stop watching.",
    "Slow, then suddenly not.",
    "«Красиво снято», but the ending…",
    "My children asked for it twice 🙂",
    'They call this a "comedy"?',
)
_FINISHED = 0.92
"""Of a film's length: who has come this far has seen it."""
_EARLIER_EPISODES = 0.6
"""How much less often a viewer's first sight of a series is the next episode than this one."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class World:
    """What is the same for all viewers.

    Attributes:
        films, shelf: the catalogue.
        habits: what viewers do.
        shares: how often what should not happen does.
        malformed_kinds: how many kinds of malformed events there are to choose from.
        first_weekday: of the first day, 0 for Monday.
        days: how many there are.
    """

    films: Sequence[Film]
    shelf: Shelf
    habits: Habits
    shares: Shares
    malformed_kinds: int
    first_weekday: int
    days: int


def write_history(rng_of_day: Callable[[int], Random], world: World) -> list[Flush | Rogue]:
    """Everything that one viewer's apps send in all the days, in the order of sending.

    Args:
        rng_of_day: the viewer's own, for each day from 0.
        world: everything else.
    """
    author = _Author(world)
    for day in range(world.days):
        author.day(day, rng_of_day(day))
    return sorted(author.sent, key=lambda sent: sent.at_ms)


def _weighted(rng: Random, choices: Sequence[tuple[_T, float]]) -> _T:
    draw = rng.random() * sum(weight for _, weight in choices)
    for choice, weight in choices:
        draw -= weight
        if draw < 0:
            return choice
    return choices[-1][0]


class _Author:
    """Writes one viewer's days; `_now_ms` only ever grows, so no two events share a moment."""

    def __init__(self, world: World) -> None:
        self.sent: list[Flush | Rogue] = []
        self._world = world
        self._habits = world.habits
        self._films = world.films
        self._end_ms = world.days * DAY_MS
        self._patience_min = dict(world.habits.patience_min)
        self._persistence = dict(world.habits.persistence)
        self._scores = list(accumulate(world.habits.scores))
        self._now_ms = 0
        self._session = -1
        self._serial = 0
        self._device = "tv"
        self._called_away_ms = 0  # when life ends this sitting
        self._interrupted: dict[int, tuple[int, int]] = {}  # film → (position, meant to leave at)
        self._episodes: dict[int, int] = {}  # series → the episode to be watched next
        self._seen: set[int] = set()  # titles that are done with, one way or the other
        self._bookmarked: set[int] = set()

    def day(self, day: int, rng: Random) -> None:
        """One day; its last sitting may go on after midnight."""
        self._rng = rng
        self._outbox = Outbox(rng, self._world.shares, self._world.malformed_kinds, self._end_ms)
        self._outbox.serial = self._serial
        for start_ms in self._starts(day):
            self._sitting(start_ms)
        self._serial = self._outbox.serial
        self.sent += self._outbox.sent

    def _starts(self, day: int) -> Iterator[int]:
        rng, habits = self._rng, self._habits
        weekday = (self._world.first_weekday + day) % 7
        if rng.random() >= habits.active_share * habits.weekdays[weekday]:
            return
        hours = tuple(enumerate(habits.hourly))
        count = _weighted(rng, habits.sittings)
        for hour in sorted(_weighted(rng, hours) + rng.random() for _ in range(count)):
            yield day * DAY_MS + int(hour * _HOUR_MS)

    def _sitting(self, start_ms: int) -> None:
        """One session in one app, from the home page to the last flush."""
        rng, habits = self._rng, self._habits
        start_ms = max(start_ms, self._now_ms + 10 * MINUTE_MS)
        if start_ms >= self._end_ms - 5 * MINUTE_MS:
            return
        self._now_ms = start_ms
        self._session += 1
        self._device = _weighted(rng, habits.devices)
        patience_ms = self._patience_min[self._device] * MINUTE_MS
        self._called_away_ms = start_ms + int(MINUTE_MS + rng.expovariate(1 / patience_ms))
        self._outbox.open_session()
        self._page("/", 40)
        if rng.random() < 0.3:
            self._search()
        film = None
        if self._interrupted and rng.random() < habits.resume_share:
            film = next(reversed(self._interrupted))
        watches = film is not None or rng.random() < habits.watch_share
        while watches:
            if film is None:
                film = self._pick()
            self._choose(film)
            finished = self._watch(film)
            self._react(film, finished)
            following = self._films[film].next_episode
            if self._now_ms >= self._called_away_ms or film in self._interrupted:
                break
            film = None
            if finished and following is not None and rng.random() < habits.next_episode_share:
                film = following
            elif rng.random() >= habits.another_share[not finished]:
                break
        if not watches:
            self._browse()
        self._outbox.close_session(self._now_ms)

    def _pick(self) -> int:
        """A title that is new to the viewer, if a few draws bring one; of a series, an episode."""
        rng, shelf = self._rng, self._world.shelf
        title = shelf.draw(rng)
        for _ in range(self._habits.redraws):
            if title not in self._seen:
                break
            title = shelf.draw(rng)
        films = shelf.titles[title]
        if title not in self._episodes:
            first = 0
            while first < len(films) - 1 and rng.random() < _EARLIER_EPISODES:
                first += 1
            self._episodes[title] = first
        return films[self._episodes[title]]

    def _browse(self) -> None:
        """Nothing to watch tonight."""
        for _ in range(2 + int(self._rng.random() * 8)):
            film = int(self._rng.random() * len(self._films))
            self._single("click", film, {"element": "poster", "path": "/"}, think_ms=15_000)
            self._page(f"/films/{film}", 30, film)

    def _choose(self, film: int) -> None:
        self._single("click", film, {"element": "poster", "path": "/"}, think_ms=8_000)
        if self._rng.random() < 0.5:
            self._page(f"/films/{film}", 25, film)
        if self._rng.random() < 0.08 and film not in self._bookmarked:
            self._bookmark(film)
        if self._rng.random() < 0.5:
            self._outbox.flush(self._now_ms)

    def _watch(self, film_number: int) -> bool:
        """Play until the viewer has had enough or is called away; whether the film is seen."""
        rng, film = self._rng, self._films[film_number]
        position_ms, leave_ms = self._interrupted.pop(film_number, (0, -1))
        position_ms = max(0, position_ms - int(rng.random() * 10_000))
        if leave_ms < 0:
            leave_ms = self._leaving(film)
        if rng.random() < 0.15:
            before, after = rng.sample(_QUALITIES, 2)
            fields = {"from_quality": before, "to_quality": after}
            self._single("quality_change", film_number, fields)
        while True:
            left_ms = max(self._called_away_ms - self._now_ms, 0)
            stretch_ms = min(
                max(leave_ms - position_ms, 0),
                left_ms,
                int(rng.expovariate(1 / (28 * MINUTE_MS))),
            )
            position_ms += self._run(film_number, position_ms, stretch_ms)
            if position_ms >= leave_ms or self._now_ms >= self._end_ms:
                break
            if self._now_ms >= self._called_away_ms:
                break
            what = rng.random()
            if what < 0.65:
                self._now_ms += int(20_000 + rng.expovariate(1 / (3 * MINUTE_MS)))
                continue
            self._now_ms += 1 + int(rng.random() * 3_000)
            if what < 0.85:
                position_ms = max(0, position_ms - int(10_000 + rng.random() * 4 * MINUTE_MS))
            elif what < 0.97:
                ahead_ms = int(15_000 + rng.random() * 5 * MINUTE_MS)
                position_ms = min(position_ms + ahead_ms, film.duration_ms)
                leave_ms = max(leave_ms, position_ms)
            else:  # to see how it ends
                position_ms = film.duration_ms - int(rng.random() * 25_000)
                leave_ms = film.duration_ms
        return self._leave(film_number, position_ms, leave_ms)

    def _leave(self, number: int, position_ms: int, leave_ms: int) -> bool:
        """Remember how far it went; whether that is the end."""
        film, title = self._films[number], self._world.shelf.title_of[number]
        finished = position_ms >= film.duration_ms * _FINISHED
        if finished:
            length = {"duration_ms": film.duration_ms}
            self._single("view_completed", number, length, think_ms=1_000)
        if finished and film.next_episode is not None:
            self._episodes[title] += (
                number == self._world.shelf.titles[title][self._episodes[title]]
            )
        elif finished or position_ms >= leave_ms:
            self._seen.add(title)
        else:
            self._interrupted[number] = position_ms, leave_ms
        return finished

    def _leaving(self, film: Film) -> int:
        """The position at which this viewer means to stop: the film's completion curve."""
        rng, habits = self._rng, self._habits
        if rng.random() < film.finish_share * self._persistence[self._device]:
            share = 1.0 if rng.random() < 0.3 else 0.95 + 0.05 * rng.random()
            return int(film.duration_ms * share)
        if rng.random() < film.trap_share:
            return int((film.trap_minute + rng.random() + (rng.random() < 0.25)) * MINUTE_MS)
        latest = film.duration_ms / MINUTE_MS * 0.88
        if rng.random() < habits.quick_share:
            minutes = min(rng.expovariate(1 / habits.quick_min), latest)
        else:
            minutes = habits.slow_min * exp(rng.random() * log(latest / habits.slow_min))
        return int(minutes * MINUTE_MS)

    def _react(self, film: int, finished: bool) -> None:
        rng = self._rng
        if rng.random() < (0.3 if finished else 0.08):
            self._rate(film)
            if (again := rng.random()) < 0.15:
                self._rate(film)
            elif again < 0.25:
                self._single("rating", film, {"score": None})
        if film in self._bookmarked and rng.random() < 0.4:
            self._bookmarked.discard(film)
            self._single("bookmark", film, {"bookmarked": False}, False)
        elif rng.random() < 0.06:
            self._bookmark(film)
        if rng.random() < 0.04:
            self._single("review", film, {"text": rng.choice(_REVIEWS)}, think_ms=60_000)
            if rng.random() < 0.1:
                self._single("review", film, {"text": None})

    def _rate(self, film: int) -> None:
        """A score with the distribution of all scores, leaning to how well the film is liked."""
        agreement = self._habits.score_agreement
        deviate = agreement**0.5 * self._films[film].appeal
        deviate += (1 - agreement) ** 0.5 * self._rng.gauss(0, 1)
        score = 1 + bisect(self._scores[:-1], _NORMAL.cdf(deviate) * self._scores[-1])
        self._single("rating", film, {"score": score}, score)

    def _bookmark(self, film: int) -> None:
        self._bookmarked.add(film)
        self._single("bookmark", film, {"bookmarked": True}, True)

    def _page(self, path: str, typical_s: int, film: int = NO_FILM) -> None:
        dwell_ms = int(self._rng.expovariate(1 / (typical_s * 1_000)))
        self._now_ms += dwell_ms
        self._single("page_view", film, {"path": path, "dwell_ms": dwell_ms})

    def _search(self) -> None:
        rng = self._rng
        genre = rng.choice(self._films).genre
        filters = {"genre": genre} if rng.random() < 0.6 else {"text": genre[:4], "sort": "new"}
        self._single("search", NO_FILM, {"filters": filters})
        if rng.random() < 0.5:
            self._outbox.flush(self._now_ms)

    def _single(
        self,
        kind: str,
        film: int,
        fields: Mapping[str, object],
        value: int | bool | None = None,
        *,
        think_ms: int = 4_000,
    ) -> None:
        self._now_ms += 1 + int(self._rng.random() * think_ms)
        if self._now_ms >= self._end_ms:
            return
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[1:-1]
        event = Single(kind, film, self._session, self._outbox.serial, self._now_ms, text, value)
        self._outbox.add(event, self._now_ms)

    def _run(self, film: int, position_ms: int, stretch_ms: int) -> int:
        """Playback of `stretch_ms`, or until all ends; how much was played."""
        stretch_ms = min(stretch_ms, self._end_ms - 1 - self._now_ms)
        if stretch_ms < 0:
            return 0
        whole, tail_ms = divmod(stretch_ms, TICK_MS)
        ticks = 1 + whole + (tail_ms > 0)
        done = 0
        while done < ticks:
            take = min(ticks - done, FLUSH_EVENTS - self._outbox.pending_events)
            ends = done + take == ticks
            first_ms = stretch_ms if tail_ms and ends and take == 1 else done * TICK_MS
            run = Run(
                film,
                self._session,
                self._outbox.serial,
                self._now_ms + first_ms,
                position_ms + first_ms,
                take,
                tail_ms if ends and take > 1 else 0,
                self._device,
            )
            done += take
            last_ms = stretch_ms if done == ticks else (done - 1) * TICK_MS
            self._outbox.add(run, self._now_ms + last_ms)
        self._now_ms += stretch_ms + 1
        return stretch_ms
