"""A steady load, and a truth that is exactly what the API acknowledged."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from uuid import UUID

import pytest
from small_api import DROP, Api, token_of
from ugc_events import Event, Invalid, ViewProgress, family_of
from ugc_local.generator import GroundTruth, Plan, ReplayError, Request, SteadyLoad
from verdict import judge

PLAN = Plan(31, date(2026, 1, 15), 0, cohort_viewer_days=12)
END_MS = 1_800_000_000_000


def play(load: SteadyLoad, api: Api, *, events: int, patience_s: float = 60.0) -> int:
    """Until so many events are answered; how many records were poison."""
    stop, poison = threading.Event(), []

    def enough(answered: int) -> None:
        if answered >= events:
            stop.set()

    outcome = load.run(
        api.url,
        token_of,
        stop=stop,
        send_poison=lambda *record: poison.append(record),
        on_progress=enough,
        patience_s=patience_s,
    )
    assert outcome.complete
    assert outcome.mismatches == 0
    assert outcome.accepted == load.truth.accepted
    assert outcome.rejected == load.truth.rejected
    return len(poison)


def acknowledged(api: Api) -> list[Event]:
    found = []
    for viewer, bodies in api.taken.items():
        for body in bodies:
            verdicts = judge(Request(UUID(viewer), body, (), again=False), END_MS)
            found += [event for event in verdicts if not isinstance(event, Invalid)]
    return found


def compare(truth: GroundTruth, taken: Sequence[Event]) -> None:
    events = {event.event_id: event for event in taken}.values()
    kinds = Counter(
        (family_of(type(event)).name, str(type(event).__struct_config__.tag)) for event in events
    )
    assert truth.events == kinds
    watched: dict[UUID, dict[UUID, set[int]]] = defaultdict(lambda: defaultdict(set))
    for event in events:
        if isinstance(event, ViewProgress):
            bucket = min(event.position_ms // 60_000, (event.duration_ms - 1) // 60_000)
            watched[event.content_id][event.user_id].add(bucket)
    assert {film: found.viewers for film, found in truth.films.items()} == {
        film: len(viewers) for film, viewers in watched.items()
    }
    assert {film: found.watched_minutes for film, found in truth.films.items()} == {
        film: sum(map(len, viewers.values())) for film, viewers in watched.items()
    }


def test_the_truth_is_what_was_acknowledged(api: Api) -> None:
    load = SteadyLoad(PLAN, rate_per_s=50_000)
    poison = play(load, api, events=9_000)
    taken = acknowledged(api)
    assert len(taken) == load.truth.accepted == load.truth.rows.total() >= 9_000 * 0.95
    assert load.truth.dead_letters.total() == poison > 0
    assert load.truth.viewers > PLAN.cohort_viewer_days  # more than a cohort
    assert load.events_in_doubt == 0
    compare(load.truth, taken)


def test_what_is_repeated_until_it_is_answered_counts_once(api: Api) -> None:
    api.behaviour = lambda attempt: {3: DROP, 7: 503}.get(attempt % 11)
    load = SteadyLoad(PLAN, rate_per_s=50_000)
    play(load, api, events=2_000)
    compare(load.truth, acknowledged(api))


def test_without_answers_the_truth_stays_with_what_was_acknowledged(api: Api) -> None:
    api.behaviour = lambda attempt: None if attempt < 40 else DROP
    load = SteadyLoad(PLAN, rate_per_s=50_000)
    with pytest.raises(ReplayError, match="no answer"):
        play(load, api, events=1_000_000, patience_s=0.3)
    assert load.events_in_doubt > 0
    taken = acknowledged(api)
    assert len(taken) == load.truth.accepted > 0
    compare(load.truth, taken)


def test_the_rate_is_not_exceeded(api: Api) -> None:
    load, began_s = SteadyLoad(PLAN, rate_per_s=1_000), time.monotonic()
    play(load, api, events=1_500)
    # Before a request is due it is not sent, however many events it has.
    largest = 500
    assert load.truth.submitted <= 1_000 * (time.monotonic() - began_s) + largest
