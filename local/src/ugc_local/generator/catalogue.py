"""The cinema's films: invented titles, durations as in life, and how people watch each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
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
_ZIPF_EXPONENT = 0.95
_NEXT_EPISODE_FACTOR = 0.6
"""How much less often a sitting begins with the next episode than with this one."""
_LATEST_YEAR = 2025


@dataclass(frozen=True, slots=True)
class Film:
    """A film or an episode of a series.

    Attributes:
        content_id, title, genre, year, duration_ms: what the platform's catalogue holds.
        popularity: its share of the choices of viewers, relative (Zipf).
        finish_share: of those who begin it, the share that means to see it to the end.
        trap_minute, trap_share: where that share of those who give up do; the others leave
            anywhere, early rather than late.
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
    next_episode: int | None

    @property
    def minutes(self) -> int:
        """Its one-minute buckets: the last one may be shorter."""
        return -(-self.duration_ms // MINUTE_MS)


def make_catalogue(seed: int) -> tuple[Film, ...]:
    """The films of `seed`: always the same titles, with durations and fates of their own."""
    rng = Random(f"{seed}/catalogue")  # noqa: S311 - nothing secret
    ids = Identities(seed)
    ranks = list(range(1, sum(map(len, _FILMS.values())) + len(_SERIES) + 1))
    rng.shuffle(ranks)
    films: list[Film] = []
    for genre, titles in _FILMS.items():
        for title in titles:
            minutes = min(max(rng.gauss(_MINUTES.get(genre, _TYPICAL_MINUTES), 15), 70.0), 180.0)
            share = ranks.pop() ** -_ZIPF_EXPONENT
            head = _Heading(ids.film(len(films)), title, genre, None)
            films.append(_film(rng, head, minutes, share))
    for series, genre, typical in _SERIES:
        share = ranks.pop() ** -_ZIPF_EXPONENT
        for episode in range(1, _EPISODES + 1):
            minutes = min(max(rng.gauss(typical, 2), 20.0), 60.0)
            following = len(films) + 1 if episode < _EPISODES else None
            title = f"{series}, episode {episode}"
            head = _Heading(ids.film(len(films)), title, genre, following)
            films.append(_film(rng, head, minutes, share))
            share *= _NEXT_EPISODE_FACTOR
    return tuple(films)


class _Heading(NamedTuple):
    content_id: UUID
    title: str
    genre: str
    next_episode: int | None


def _film(rng: Random, head: _Heading, minutes: float, popularity: float) -> Film:
    # Some are whole minutes: there the tick at the very end is beyond the last bucket.
    whole = rng.random() < 0.25
    disliked = rng.random() < 0.2
    return Film(
        **head._asdict(),
        year=_LATEST_YEAR - int(40 * rng.random() ** 2),
        duration_ms=round(minutes) * MINUTE_MS if whole else int(minutes * 60) * 1_000 + 440,
        popularity=popularity,
        finish_share=0.08 + 0.2 * rng.random() if disliked else 0.4 + 0.4 * rng.random(),
        trap_minute=int((0.1 + 0.5 * rng.random()) * minutes),
        trap_share=0.7 if disliked else 0.3,
    )


def accumulated_popularity(films: Sequence[Film]) -> list[float]:
    """Running sums of the films' popularity, for a draw by bisection."""
    sums: list[float] = []
    total = 0.0
    for film in films:
        total += film.popularity
        sums.append(total)
    return sums
