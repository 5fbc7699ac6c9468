"""What the generated day looks like, at a size at which shares are stable."""

import json
from collections.abc import Callable
from datetime import date

import pytest
from ugc_local.generator import FilmTruth, GroundTruth, Plan, Poison, Request

DAY = date(2026, 1, 15)


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    plan = Plan(7, DAY, 300_000, days=3)
    truth = GroundTruth(plan.day, plan.catalogue, plan.days)
    for _ in plan.stream(truth):
        pass
    return truth


def test_viewers_leave_as_a_film_goes_on(truth: GroundTruth) -> None:
    def kept(film: FilmTruth, start: float, end: float) -> float:
        part = film.retention[int(start * len(film.retention)) : int(end * len(film.retention))]
        return sum(part) / len(part) / film.viewers

    popular = [t for t in truth.most_watched() if t.viewers >= 100 and not t.film.trap_share]
    assert len(popular) >= 3
    for film in popular:
        thirds = kept(film, 0, 1 / 3), kept(film, 1 / 3, 2 / 3), kept(film, 2 / 3, 1)
        assert thirds[0] > thirds[1] > thirds[2] > 0.1
        assert 0.3 < film.finish_rate < 0.9
        assert film.completion_quartiles == tuple(sorted(film.completion_quartiles))


def test_an_abandoned_film_is_left_at_its_minute(truth: GroundTruth) -> None:
    abandoned = [t for t in truth.films.values() if t.film.trap_share and t.viewers >= 10]
    assert len(abandoned) >= 3
    assert all(film.abandonment_rate > 0.6 for film in abandoned)
    at_the_trap = [
        film.drop_off_minute in {film.film.trap_minute, film.film.trap_minute + 1}
        for film in abandoned
    ]
    assert sum(at_the_trap) >= 0.7 * len(abandoned)


def test_viewings_go_on_elsewhere_and_some_see_only_the_end(
    streamed: Callable[[int, int], tuple[Plan, GroundTruth, list[Request], list[Poison]]],
) -> None:
    devices: dict[tuple[str, str], set[str]] = {}
    ends: dict[tuple[str, str], tuple[int, int]] = {}
    positions: dict[tuple[str, str], set[int]] = {}
    for request in streamed(11, 30_000)[2]:
        events = json.loads(request.body)
        for number, event in enumerate(events if isinstance(events, list) else [events]):
            if not isinstance(request.expected[number], str) or event["type"] != "view_progress":
                continue
            key = str(request.user_id), event["content_id"]
            devices.setdefault(key, set()).add(event["device"])
            positions.setdefault(key, set()).add(event["position_ms"] // 60_000)
            ends[key] = max(ends.get(key, (0, 0)), (event["position_ms"], event["duration_ms"]))
    assert any(len(found) > 1 for found in devices.values())
    only_the_end = [
        key
        for key, (furthest_ms, duration_ms) in ends.items()
        if furthest_ms > 0.98 * duration_ms and len(positions[key]) < 0.7 * duration_ms / 60_000
    ]
    assert only_the_end
