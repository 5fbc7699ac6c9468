"""The cinema's films: invented titles, durations as in life, and how people watch each of them."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import NamedTuple
from uuid import UUID

from ugc_local.generator.identity import Identities

MINUTE_MS = 60_000

_FILMS: dict[str, tuple[str, ...]] = {
    "drama": (
        "The Last Lighthouse Keeper",
        "A House Without Clocks",
        "Letters to Halvorsen",
        "What the River Kept",
        "The Piano Tuner's Daughter",
        "Northbound",
        "Salt and Ashes",
        "An Ordinary Silence",
        "The Weight of Snow",
        "Everything We Left in Trieste",
        "Second Harvest",
        "The Understudy",
    ),
    "thriller": (
        "The Ninth Witness",
        "Dead Reckoning at Sea",
        "Glass Corridor",
        "Nobody Leaves Marlow Street",
        "The Cartographer",
        "Cold Ledger",
        "Room for One More Lie",
        "Signal Lost",
        "The Quiet Passenger",
        "Black Ice Protocol",
    ),
    "comedy": (
        "Three Weddings and an Audit",
        "My Cousin the Prime Minister",
        "Low Season",
        "The Accidental Goalkeeper",
        "Half Past Denial",
        "Grandma Buys a Nightclub",
        "Out of Office",
        "The Worst Best Man in Lisbon",
        "Planning Permission",
    ),
    "science fiction": (
        "Perihelion",
        "The Orchard on Ganymede",
        "Seven Minutes Ahead",
        "Children of the Relay",
        "Undertow 2190",
        "The Memory Tax",
        "Terminal Velocity of Light",
        "A Machine for Forgetting",
    ),
    "animation": (
        "Pip and the Paper Moon",
        "The Fox Who Borrowed Winter",
        "Clockwork Carnival",
        "Umbrella Island",
        "Tilda Counts to a Million",
    ),
    "documentary": (
        "Deep Blue Economy",
        "The Men Who Paint Bridges",
        "Bread: A Biography",
        "Forty Days of Polar Night",
        "Concrete Dreams",
        "The Last Projectionist",
    ),
    "horror": (
        "The Well at Ashcombe",
        "Do Not Answer After Ten",
        "Marrow",
        "The Wallpaper People",
        "Hollow Choir",
    ),
    "adventure": (
        "The Emerald Meridian",
        "Caravan of Storms",
        "Beyond the Atlas Gate",
        "The Smuggler's Almanac",
        "Ten Thousand Steps to Lhasa",
    ),
}
_SERIES: tuple[tuple[str, str, int], ...] = (  # title, genre, minutes of an episode
    ("Harbour Lights", "drama", 48),
    ("The Interpreter", "thriller", 55),
    ("Flat 4B", "comedy", 24),
    ("Outpost Nine", "science fiction", 52),
    ("The Baker Street Irregular Heartbeat", "comedy", 31),
    ("Wild Latitudes", "documentary", 44),
)
_EPISODES = 6
_MINUTES = {"animation": 92, "documentary": 96, "comedy": 104, "horror": 101}
_TYPICAL_MINUTES = 118
_LATEST_YEAR = 2025
_DISLIKED_SHARE = 0.14
_NEVER_DISLIKED = 5
"""The most popular titles: one film's luck would decide what all viewers seem to do."""
_DISLIKED, _LIKED = (0.1, 0.3), (0.74, 0.99)
"""Between which a film's `finish_share` lies."""


@dataclass(frozen=True, slots=True)
class Film:
    """A film or an episode of a series.

    Attributes:
        content_id, title, genre, year, duration_ms: what the platform's catalogue holds.
        popularity: its title's share of the choices of viewers, relative (Zipf).
        finish_share: of those who begin it, the share that means to see it to the end.
        trap_minute, trap_share: where that share of those who give up do; the others leave
            anywhere, early rather than late.
        appeal: how well it is liked: a quantile, as a deviate of the normal distribution.
        next_episode: index in the catalogue of what a series shows next, or None.
    """

    content_id: UUID
    title: str
    genre: str
    year: int
    duration_ms: int
    popularity: float
    finish_share: float
    trap_minute: int
    trap_share: float
    appeal: float
    next_episode: int | None

    @property
    def minutes(self) -> int:
        """Its one-minute buckets: the last one may be shorter."""
        return -(-self.duration_ms // MINUTE_MS)


def make_catalogue(seed: int, zipf_exponent: float) -> tuple[Film, ...]:
    """The films of `seed`: always the same titles, with durations and fates of their own."""
    rng = Random(f"{seed}/catalogue")  # noqa: S311 - nothing secret
    ids = Identities(seed)
    ranks = list(range(1, sum(map(len, _FILMS.values())) + len(_SERIES) + 1))
    rng.shuffle(ranks)
    films: list[Film] = []
    for genre, titles in _FILMS.items():
        for title in titles:
            minutes = min(max(rng.gauss(_MINUTES.get(genre, _TYPICAL_MINUTES), 15), 70.0), 180.0)
            head = _Heading(ids.film(len(films)), title, genre, None)
            films.append(_film(rng, head, minutes, ranks.pop(), zipf_exponent))
    for series, genre, typical in _SERIES:
        rank = ranks.pop()
        for episode in range(1, _EPISODES + 1):
            minutes = min(max(rng.gauss(typical, 2), 20.0), 60.0)
            following = len(films) + 1 if episode < _EPISODES else None
            title = f"{series}, episode {episode}"
            head = _Heading(ids.film(len(films)), title, genre, following)
            films.append(_film(rng, head, minutes, rank, zipf_exponent))
    return _with_appeal(films)


class _Heading(NamedTuple):
    content_id: UUID
    title: str
    genre: str
    next_episode: int | None


def _film(rng: Random, head: _Heading, minutes: float, rank: int, zipf_exponent: float) -> Film:
    # Some are whole minutes: there the tick at the very end is beyond the last bucket.
    whole = rng.random() < 0.25
    disliked = rng.random() < _DISLIKED_SHARE and rank > _NEVER_DISLIKED
    finish_share = rng.uniform(*(_DISLIKED if disliked else _LIKED))
    return Film(
        **head._asdict(),
        year=_LATEST_YEAR - int(40 * rng.random() ** 2),
        duration_ms=round(minutes) * MINUTE_MS if whole else int(minutes * 60) * 1_000 + 440,
        popularity=rank**-zipf_exponent,
        finish_share=finish_share,
        trap_minute=int((0.1 + 0.5 * rng.random()) * minutes),
        trap_share=0.7 if disliked else 0.0,
        appeal=finish_share + rng.gauss(0, 0.1),
    )


def _with_appeal(films: Sequence[Film]) -> tuple[Film, ...]:
    """Turn scores of appeal into normal deviates: over choices, not films, they are normal."""
    total = sum(film.popularity for film in films)
    below, deviates = 0.0, {}
    for film in sorted(films, key=lambda film: film.appeal):
        share = film.popularity / total
        deviates[film.content_id] = NormalDist().inv_cdf(below + share / 2)
        below += share
    return tuple(replace(film, appeal=deviates[film.content_id]) for film in films)


@dataclass(frozen=True)
class Shelf:
    """What viewers choose from: titles, by popularity.

    Attributes:
        titles: the films of each title, as indexes of the catalogue: one, or a series' episodes.
        title_of: film → title.
        sums: running sums of the titles' popularity, for a draw by bisection.
    """

    titles: tuple[tuple[int, ...], ...]
    title_of: tuple[int, ...]
    sums: tuple[float, ...]

    @classmethod
    def of(cls, films: Sequence[Film]) -> Shelf:
        titles: list[list[int]] = []
        for number in range(len(films)):
            if number and films[number - 1].next_episode == number:
                titles[-1].append(number)
            else:
                titles.append([number])
        return cls(
            tuple(map(tuple, titles)),
            tuple(title for title, numbers in enumerate(titles) for _ in numbers),
            tuple(accumulate(films[numbers[0]].popularity for numbers in titles)),
        )

    def draw(self, rng: Random) -> int:
        """A title."""
        return min(bisect(self.sums, rng.random() * self.sums[-1]), len(self.sums) - 1)
