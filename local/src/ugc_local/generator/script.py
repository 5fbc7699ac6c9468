"""A viewer's day, decided before a byte of it is written.

The script is small whatever the viewer does: twenty ticks of playback are one `Run`. So a whole
cohort's scripts can be sorted by time while their bodies are rendered one by one, and the number
of events is known beforehand.
"""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TypeVar

from ugc_local.generator.catalogue import MINUTE_MS, Film
from ugc_local.generator.outbox import FLUSH_EVENTS, Outbox, Shares
from ugc_local.generator.pieces import DAY_MS, NO_FILM, TICK_MS, Flush, Rogue, Run, Single

_T = TypeVar("_T")
_HOUR_MS = 3_600_000

# Sittings begun in each hour of the day, UTC, relative: a quiet night and an evening peak.
_HOURLY = (10, 6, 4, 2, 2, 3, 6, 10, 12, 13, 14, 16, 19, 18, 17, 18, 22, 30, 44, 58, 66, 60, 42, 22)
_DEVICES = (("tv", 42), ("phone", 27), ("web", 21), ("tablet", 10))
_QUALITIES = ("480p", "720p", "1080p", "2160p")
_REVIEWS = (
    "Could not stop watching.",
    "Slow, then suddenly not.",
    "«Красиво снято», but the ending…",
    "My children asked for it twice 🙂",
    'They call this a "comedy"?',
)


def write_day(
    rng: Random,
    films: Sequence[Film],
    popularity: Sequence[float],
    shares: Shares,
    malformed_kinds: int,
) -> list[Flush | Rogue]:
    """Everything that one viewer's apps send, in the order of sending.

    Args:
        rng: the viewer's own.
        films: the catalogue.
        popularity: running sums, as of `accumulated_popularity`.
        shares: how often what should not happen does.
        malformed_kinds: how many kinds of malformed events there are to choose from.
    """
    outbox = Outbox(rng, shares, malformed_kinds)
    author = _Author(rng, films, popularity, outbox)
    for start_ms in _starts(rng):
        author.sitting(start_ms)
    return sorted(outbox.sent, key=lambda sent: sent.at_ms)


def _starts(rng: Random) -> Iterator[int]:
    sittings = 1 + (rng.random() < 0.35) + (rng.random() < 0.12)
    hours = sorted(_weighted(rng, tuple(enumerate(_HOURLY))) for _ in range(sittings))
    for hour in hours:
        yield hour * _HOUR_MS + int(rng.random() * _HOUR_MS)


def _weighted(rng: Random, choices: Sequence[tuple[_T, int]]) -> _T:
    draw = rng.random() * sum(weight for _, weight in choices)
    for choice, weight in choices:
        draw -= weight
        if draw < 0:
            return choice
    return choices[-1][0]


class _Author:
    """Writes one viewer's day; `_now_ms` only ever grows, so no two events share a moment."""

    def __init__(
        self,
        rng: Random,
        films: Sequence[Film],
        popularity: Sequence[float],
        outbox: Outbox,
    ) -> None:
        self._rng = rng
        self._films = films
        self._popularity = popularity
        self._outbox = outbox
        self._now_ms = 0
        self._session = -1
        self._device = "tv"
        self._left_at: dict[int, int] = {}  # film → position of the last leaving
        self._bookmarked: set[int] = set()

    def sitting(self, start_ms: int) -> None:
        """One session in one app, from the home page to the last flush."""
        rng = self._rng
        start_ms = max(start_ms, self._now_ms + 10 * MINUTE_MS)
        if start_ms >= DAY_MS - 5 * MINUTE_MS:
            return
        self._now_ms = start_ms
        self._session += 1
        self._device = _weighted(rng, _DEVICES)
        self._outbox.open_session()
        self._page("/", 40)
        if rng.random() < 0.3:
            self._search()
        film = self._resume() if rng.random() < 0.45 else None
        watches = film is not None or rng.random() < 0.75
        while watches:
            if film is None:
                film = bisect(self._popularity, rng.random() * self._popularity[-1])
                film = min(film, len(self._films) - 1)
            self._choose(film)
            finished = self._watch(film)
            self._react(film, finished)
            following = self._films[film].next_episode
            if finished and following is not None and rng.random() < 0.65:
                film = following
            elif rng.random() < (0.2 if finished else 0.4):
                film = None
            else:
                break
        if not watches:
            self._browse()
        self._outbox.close_session(self._now_ms)

    def _browse(self) -> None:
        """Nothing to watch tonight."""
        for _ in range(2 + int(self._rng.random() * 8)):
            film = int(self._rng.random() * len(self._films))
            self._single("click", film, {"element": "poster", "path": "/"}, think_ms=15_000)
            self._page(f"/films/{film}", 30, film)

    def _resume(self) -> int | None:
        """A film left before its end, if there is one."""
        films = self._films
        left = [film for film, at_ms in self._left_at.items() if at_ms < films[film].duration_ms]
        return left[-1] if left else None

    def _choose(self, film: int) -> None:
        self._single("click", film, {"element": "poster", "path": "/"}, think_ms=8_000)
        if self._rng.random() < 0.5:
            self._page(f"/films/{film}", 25, film)
        if self._rng.random() < 0.08 and film not in self._bookmarked:
            self._bookmark(film)
        if self._rng.random() < 0.5:
            self._outbox.flush(self._now_ms)

    def _watch(self, film_number: int) -> bool:
        """Play until the viewer has had enough; whether that is the end."""
        rng, film = self._rng, self._films[film_number]
        position_ms = max(0, self._left_at.get(film_number, 0) - int(rng.random() * 10_000))
        if position_ms >= film.duration_ms * 0.9:
            position_ms = 0  # a rewatch
        leave_ms = max(self._leaving(film), min(position_ms + 2 * MINUTE_MS, film.duration_ms))
        if rng.random() < 0.15:
            before, after = rng.sample(_QUALITIES, 2)
            fields = {"from_quality": before, "to_quality": after}
            self._single("quality_change", film_number, fields)
        while True:
            stretch_ms = min(leave_ms - position_ms, int(rng.expovariate(1 / (28 * MINUTE_MS))))
            position_ms += self._run(film_number, position_ms, stretch_ms)
            if position_ms >= leave_ms or self._now_ms >= DAY_MS:
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
        self._left_at[film_number] = position_ms
        finished = position_ms >= film.duration_ms * 0.92
        if finished:
            length = {"duration_ms": film.duration_ms}
            self._single("view_completed", film_number, length, think_ms=1_000)
        return finished

    def _leaving(self, film: Film) -> int:
        """The position at which this viewer means to stop: the film's completion curve."""
        rng = self._rng
        if rng.random() < film.finish_share:
            share = 1.0 if rng.random() < 0.3 else 0.95 + 0.05 * rng.random()
            return int(film.duration_ms * share)
        if rng.random() < film.trap_share:
            return int((film.trap_minute + rng.random() + (rng.random() < 0.25)) * MINUTE_MS)
        return int(film.duration_ms * 0.9 * rng.random() ** 1.5)

    def _react(self, film: int, finished: bool) -> None:
        rng = self._rng
        likes = self._films[film].finish_share
        if rng.random() < (0.3 if finished else 0.08):
            self._rate(film, likes)
            if (again := rng.random()) < 0.15:
                self._rate(film, likes)
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

    def _rate(self, film: int, likes: float) -> None:
        score = min(max(round(self._rng.gauss(3 + 6 * likes, 1.8)), 0), 10)
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
        if self._now_ms >= DAY_MS:
            return
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[1:-1]
        event = Single(kind, film, self._session, self._outbox.serial, self._now_ms, text, value)
        self._outbox.add(event, self._now_ms)

    def _run(self, film: int, position_ms: int, stretch_ms: int) -> int:
        """Playback of `stretch_ms`, or until the day ends; how much was played."""
        stretch_ms = min(stretch_ms, DAY_MS - 1 - self._now_ms)
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
