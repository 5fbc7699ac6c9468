"""How the cinema's viewers behave: every number that a distribution is drawn from.

docs/generator.md says which of them follow published measurements, with sources, and which are
choices; `targets` checks what comes out of them against the published figures.
"""

from __future__ import annotations

from dataclasses import dataclass

Weights = tuple[tuple[str, float], ...]

# Sittings begun in each hour, UTC, relative. The viewers' clock is UTC.
_HOURLY = (
    10,
    6,
    4,
    2,
    2,
    3,
    5,
    8,
    10,
    11,
    12,
    14,
    16,
    16,
    15,
    17,
    25,
    66,
    112,
    120,
    98,
    48,
    24,
    13,
)
# Monday first. Sunday is 10 % above the average evening, Saturday 120 to Sunday's 125.
_WEEKDAYS = (0.9688, 0.9688, 0.9688, 0.9688, 0.9688, 1.056, 1.1)
# MovieLens 20M: ratings of half a star to five stars.
_SCORES = (239125, 680732, 279252, 1430997, 883398, 4291193, 2200156, 5561926, 1534824, 2898660)


@dataclass(frozen=True)
class Habits:
    """What viewers do, and how often. Times of a device are minutes, shares lie in [0, 1].

    Attributes:
        zipf_exponent: of the popularity of titles by rank.
        redraws: how often a viewer who has already seen the title that was drawn draws again.
        active_share: of viewers who watch on an average day.
        weekdays: relative to the average day, Monday first.
        sittings: how many sittings an active day has, with weights.
        hourly: relative weight of each hour, UTC, for the beginning of a sitting.
        devices: with the weights of sittings; shares of time follow from `patience_min` too.
        patience_min: mean time after which life calls a viewer away from a sitting, by device.
        persistence: by device, the factor on the share of those who mean to finish a film.
        quick_share: of those who give up and not at the film's own minute: who do so at once.
        quick_min: mean minutes until they do; the others leave from `slow_min` on, with a
            density that falls as 1 / minute.
        resume_share: of sittings in which a film that was interrupted is taken up again.
        watch_share: of other sittings in which something is watched at all.
        next_episode_share: of finished episodes that are followed by the next one.
        another_share: of finished and of abandoned films after which another is chosen.
        scores: weights of the scores 1 to 10.
        score_agreement: correlation of two viewers' scores of one film, before rounding.
    """

    zipf_exponent: float = 1.32
    redraws: int = 2
    active_share: float = 0.75
    weekdays: tuple[float, ...] = _WEEKDAYS
    sittings: tuple[tuple[int, float], ...] = ((1, 30), (2, 30), (3, 24), (4, 16))
    hourly: tuple[float, ...] = _HOURLY
    devices: Weights = (("tv", 52), ("web", 22.5), ("phone", 18.5), ("tablet", 7))
    patience_min: Weights = (("tv", 215), ("web", 56), ("phone", 42), ("tablet", 72))
    persistence: Weights = (("tv", 1.1), ("web", 0.87), ("phone", 0.95), ("tablet", 1.03))
    quick_share: float = 0.4
    quick_min: float = 2.5
    slow_min: float = 5.0
    resume_share: float = 0.95
    watch_share: float = 0.85
    next_episode_share: float = 0.7
    another_share: tuple[float, float] = (0.2, 0.5)
    scores: tuple[float, ...] = _SCORES
    score_agreement: float = 0.1
