"""The generated distributions against published ones: what is due, what was found, how far off.

Sources are named by the keys of docs/generator.md. `published` is False where the figure is a
choice of ours and only its drawing is checked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist, fmean, median

from ugc_local.generator.catalogue import MINUTE_MS
from ugc_local.generator.habits import Habits
from ugc_local.generator.portrait import Portrait

_ENOUGH_VIEWINGS = 60
_ENOUGH_EXPECTED = 5.0
_EVENING = range(18, 22)
_DEVICE_SHARES = {"tv": 0.70, "web": 0.15, "phone": 0.10, "tablet": 0.05}
_SESSION_MIN = {"tv": 77.0, "tablet": 45.0, "web": 39.0, "phone": 32.0}
_LAW = Habits()
"""As the cinema is meant to be, whatever the sample was drawn from."""
_COMPLETION = {"tv": 0.80, "tablet": 0.64, "web": 0.55, "phone": 0.51}


@dataclass(frozen=True, slots=True)
class Fit:
    """One target and how well it is met.

    Attributes:
        name: what is measured.
        source: key of the source, or "choice".
        due, found: the target and the measurement, for people.
        distance: between them, in the unit of `measure`.
        measure: "absolute", "relative", "total variation" or "probability of a fit as bad"
            (chi-squared; there the distance is 1 minus it).
        tolerance: the greatest distance that fits.
    """

    name: str
    source: str
    due: str
    found: str
    distance: float
    measure: str
    tolerance: float

    @property
    def published(self) -> bool:
        return self.source != "choice"

    @property
    def fits(self) -> bool:
        return self.distance <= self.tolerance


def fits(portrait: Portrait, days: int) -> list[Fit]:
    """Every target, for a sample of so many days.

    They should be whole weeks: else Sunday has no average to exceed, and is left out.
    """
    return [
        *_popularity(portrait),
        *_devices(portrait),
        *_completion(portrait),
        *_time(portrait, days),
        _scores(portrait),
    ]


def _popularity(portrait: Portrait) -> Iterator[Fit]:
    titles, plays = len(portrait.shelf.titles), portrait.plays.total()
    for share, due, tolerance in ((0.10, 0.60, 0.03), (0.23, 0.80, 0.05)):
        top = portrait.plays.most_common(ceil(share * titles))
        found = sum(count for _, count in top) / plays
        name = f"plays of the most played {share:.0%} of titles"
        yield _scalar(name, "yu2006", due, found, tolerance, "{:.1%}")
    laws = sorted((rank**-_LAW.zipf_exponent for rank in range(1, titles + 1)), reverse=True)
    by_popularity = sorted(
        range(titles), key=lambda t: -portrait.films[portrait.shelf.titles[t][0]].popularity
    )
    likelihood = _chi_squared(
        [portrait.first_titles[title] for title in by_popularity], [w / sum(laws) for w in laws]
    )
    yield Fit(
        name="first choice of each viewer",
        source="choice",
        due=f"Zipf, exponent {_LAW.zipf_exponent}",
        found=f"{portrait.first_titles.total():,} choices, p = {likelihood:.3f}",
        distance=1 - likelihood,
        measure="probability of a fit as bad",
        tolerance=0.999,
    )


def _devices(portrait: Portrait) -> Iterator[Fit]:
    played_min: dict[str, list[float]] = defaultdict(list)
    for session in portrait.sessions.values():
        played_min[session.device].append(session.played_ms / MINUTE_MS)
    total = sum(map(sum, played_min.values()))
    shares = {device: sum(played_min[device]) / total for device in _DEVICE_SHARES}
    yield _shares("time watched by device", "netflix2018", _DEVICE_SHARES, shares, 0.03)
    for device, due in _SESSION_MIN.items():
        found = fmean(played_min[device])
        name = f"mean session, {device}"
        yield Fit(
            name,
            "nscreenmedia2018",
            f"{due:.0f} min",
            f"{found:.1f} min",
            abs(found / due - 1),
            "relative",
            0.1,
        )


def _completion(portrait: Portrait) -> Iterator[Fit]:
    by_device: dict[str, list[bool]] = defaultdict(list)
    by_film: dict[int, list[bool]] = defaultdict(list)
    left_min: list[float] = []
    for (_, film), viewing in portrait.viewings.items():
        finished = portrait.finished(film, viewing)
        by_device[viewing.device].append(finished)
        if len(portrait.shelf.titles[portrait.shelf.title_of[film]]) == 1:
            by_film[film].append(finished)
            if not finished and not portrait.films[film].trap_share:
                left_min.append(viewing.position_ms / MINUTE_MS)
    for device, due in _COMPLETION.items():
        source = "nscreenmedia2016" if device in {"tablet", "web"} else "nscreenmedia2018"
        name = f"completion, {device}"
        yield _scalar(name, source, due, fmean(by_device[device]), 0.07, "{:.1%}")
    rates = [fmean(seen) for seen in by_film.values() if len(seen) >= _ENOUGH_VIEWINGS]
    yield _scalar(
        "completion of a film, median of films",
        "digitali2024",
        0.665,
        median(rates or [0.0]),
        0.1,
        "{:.1%}",
    )
    # Exponential in the first minutes, then a power law: many leave at once, then ever fewer.
    first, later = (
        sum(low <= minute < high for minute in left_min) / (high - low)
        for low, high in ((0, 5), (5, 30))
    )
    yield Fit(
        "leaving in minutes 0 to 5 against 5 to 30, per minute",
        "choice",
        "at least 2",
        f"{first / later:.2f}",
        max(0.0, 2 - first / later),
        "absolute",
        0.0,
    )


def _time(portrait: Portrait, days: int) -> Iterator[Fit]:
    hours, total = portrait.played_ms_by_hour, portrait.played_ms_by_hour.total()
    peak = max(hours, key=lambda hour: hours[hour])
    yield Fit(
        "hour with most time watched",
        "realitymine2016",
        "20:00",
        f"{peak}:00",
        abs(peak - 20),
        "absolute",
        0.0,
    )
    evening = sum(hours[hour] for hour in _EVENING) / total
    yield Fit(
        "time watched from 18:00 to 22:00",
        "realitymine2016",
        "more than half",
        f"{evening:.1%}",
        max(0.0, 0.5 - evening),
        "absolute",
        0.0,
    )
    if days % 7 == 0:
        sunday = 7 * portrait.played_ms_by_weekday[6] / total
        yield _scalar("Sunday against an average day", "nielsen2014", 1.10, sunday, 0.06, "{:.3f}")
    minutes = total / MINUTE_MS / len(portrait.viewers) / days
    yield Fit(
        "time watched per viewer and day",
        "netflix2015",
        "93 min",
        f"{minutes:.1f} min",
        abs(minutes / 93 - 1),
        "relative",
        0.1,
    )


def _scores(portrait: Portrait) -> Fit:
    weights = dict(enumerate(_LAW.scores, 1))
    due = {str(score): weight / sum(weights.values()) for score, weight in weights.items()}
    found = {name: portrait.scores[int(name)] / portrait.scores.total() for name in due}
    return _shares("scores", "movielens20m", due, found, 0.05)


def _scalar(name: str, source: str, due: float, found: float, tolerance: float, form: str) -> Fit:
    distance = abs(found - due)
    return Fit(name, source, form.format(due), form.format(found), distance, "absolute", tolerance)


def _shares(
    name: str, source: str, due: Mapping[str, float], found: Mapping[str, float], tolerance: float
) -> Fit:
    """By total variation: the share that is in another class than it should be."""
    distance = sum(abs(found[key] - share) for key, share in due.items()) / 2

    def text(shares: Mapping[str, float]) -> str:
        return ", ".join(f"{key}: {share:.0%}" for key, share in shares.items())

    shown = {key: found[key] for key in due}
    return Fit(name, source, text(due), text(shown), distance, "total variation", tolerance)


def _chi_squared(found: list[int], law: list[float]) -> float:
    """The probability of a fit as bad, or worse, of counts that do follow the law.

    Pearson's test; rare classes are joined until 5 are expected; the distribution's tail by the
    approximation of Wilson and Hilferty (1931).
    """
    total, statistic, classes = sum(found), 0.0, 0
    seen, expected = 0, 0.0
    for count, share in zip(found, law, strict=True):
        seen, expected = seen + count, expected + total * share
        if expected >= _ENOUGH_EXPECTED:
            statistic += (seen - expected) ** 2 / expected
            classes += 1
            seen, expected = 0, 0.0
    freedom = classes - 1
    spread = 2 / (9 * freedom)
    deviate = ((statistic / freedom) ** (1 / 3) - (1 - spread)) / sqrt(spread)
    return 1 - NormalDist().cdf(deviate)
