import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ugc_events import FAMILIES, Event, Invalid, ViewProgress, decode_record
from ugc_local.generator import (
    GroundTruth,
    Habits,
    Plan,
    Poison,
    Refusal,
    Request,
    Shares,
)
from ugc_local.generator.identity import Identities
from ugc_local.generator.pieces import Flush
from ugc_local.generator.render import Renderer, day_start_ms
from verdict import judge, verdicts

DAY = date(2026, 1, 15)
DAYS = 2  # of `streamed`
END_MS = day_start_ms(DAY) + DAYS * 86_400_000
Streamed = Callable[[int, int], tuple[Plan, GroundTruth, list[Request], list[Poison]]]

_HASH = """
import hashlib, sys
from datetime import date
from ugc_local.generator import GroundTruth, Plan
plan = Plan(int(sys.argv[1]), date(2026, 1, 15), int(sys.argv[2]), days=3)
truth = GroundTruth(plan.day, plan.catalogue, plan.days)
digest = hashlib.sha256()
for item in plan.stream(truth):
    digest.update(repr(item).encode())
print(digest.hexdigest())
"""


def stream_hash(seed: int, events: int, **change: object) -> str:
    plan = replace(Plan(seed, DAY, events, days=3), **change)  # type: ignore[arg-type]
    digest = hashlib.sha256()
    for item in plan.stream(GroundTruth(plan.day, plan.catalogue, plan.days)):
        digest.update(repr(item).encode())
    return digest.hexdigest()


def test_a_seed_is_a_stream() -> None:
    assert stream_hash(1, 4_000) == stream_hash(1, 4_000)
    assert stream_hash(1, 4_000) != stream_hash(2, 4_000)
    assert stream_hash(1, 4_000) != stream_hash(1, 4_000, day=date(2026, 1, 16))
    assert stream_hash(1, 4_000) != stream_hash(1, 4_000, shares=Shares(retries=0.5))
    assert stream_hash(1, 4_000) != stream_hash(1, 4_000, days=2)
    assert stream_hash(1, 4_000) != stream_hash(1, 4_000, habits=Habits(watch_share=0.5))


def test_how_much_is_in_memory_at_a_time_changes_no_byte(tmp_path: Path) -> None:
    whole = stream_hash(1, 9_000, cohort_viewer_days=1_000_000)
    assert stream_hash(1, 9_000, cohort_viewer_days=1, folder=tmp_path) == whole
    assert stream_hash(1, 9_000, cohort_viewer_days=11, folder=tmp_path) == whole
    assert not list(tmp_path.iterdir())


def test_the_stream_does_not_depend_on_the_hashing_of_this_process() -> None:
    for hash_seed in ("0", "1"):
        printed = subprocess.run(
            [sys.executable, "-c", _HASH, "1", "4000"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert printed.stdout.strip() == stream_hash(1, 4_000)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 50), st.integers(0, 1_500), st.integers(1, 9), st.integers(1, 4))
def test_the_target_is_met_exactly(seed: int, target: int, cohort: int, days: int) -> None:
    plan = Plan(seed, DAY, target, days, cohort_viewer_days=cohort)
    truth = GroundTruth(plan.day, plan.catalogue, days)
    items = list(plan.stream(truth))
    sent = sum(len(item.expected) for item in items if isinstance(item, Request))
    assert sent == truth.submitted == target
    assert truth.accepted + truth.rejected.total() == target
    assert truth.dead_letters.total() == sum(isinstance(item, Poison) for item in items)


def test_every_answer_expected_is_the_one_of_the_contract(streamed: Streamed) -> None:
    _, truth, requests, poison = streamed(11, 30_000)
    for request in requests:
        assert tuple(verdicts(request, END_MS)) == request.expected
    families = {family.topic: family for family in FAMILIES}
    for record in poison:
        verdict = decode_record(families[record.topic], record.value)
        assert isinstance(verdict, Invalid)
        assert Refusal(verdict.field, verdict.reason.value) == record.expected
    assert len(truth.rejected) >= 15
    assert len(truth.dead_letters) >= 4


def test_sound_events_lie_within_the_days(streamed: Streamed) -> None:
    for request in streamed(11, 30_000)[2]:
        for event in judge(request, END_MS):
            if isinstance(event, Event):
                assert day_start_ms(DAY) <= event.occurred_at < END_MS


def test_a_viewer_can_be_made_again_alone(streamed: Streamed) -> None:
    plan, _, requests, _ = streamed(11, 30_000)
    viewer = 41
    user_id = Identities(plan.seed).viewer(viewer)
    render = Renderer(plan.seed, plan.day, plan.catalogue)
    alone = [
        render.request(viewer, user_id, sent)
        for sent in Plan(plan.seed, plan.day, 0, plan.days).history(viewer)
        if isinstance(sent, Flush)
    ]
    assert alone
    assert alone == [request for request in requests if request.user_id == user_id]


def test_a_retry_repeats_the_bytes_of_an_earlier_request(streamed: Streamed) -> None:
    _, _, requests, _ = streamed(11, 30_000)
    sent: dict[UUID, set[bytes]] = defaultdict(set)
    retries, odd = 0, 0
    for request in requests:
        if request.again:
            retries += 1
        odd += request.again != (request.body in sent[request.user_id])
        sent[request.user_id].add(request.body)
    assert odd <= 1  # the one that is cut short where the target is reached
    assert 0.01 < retries / len(requests) < 0.04


def newest_events(shares: Shares) -> list[tuple[int, int]]:
    """Of each request of a stream: when its newest event occurred, and how many it has."""
    plan = Plan(12, DAY, 30_000, DAYS, shares, cohort_viewer_days=20)
    found = []
    for request in plan.stream(GroundTruth(plan.day, plan.catalogue, DAYS)):
        assert isinstance(request, Request)
        taken = [event for event in judge(request, END_MS) if isinstance(event, Event)]
        found.append((max(event.occurred_at for event in taken), len(taken)))
    return found


def test_all_days_of_all_cohorts_are_streamed_in_the_order_of_time() -> None:
    found = newest_events(Shares(retries=0, offline=0, malformed=0, poison=0))
    # The network's delay differs by a second; one request is cut short at the target.
    late = sum(ms < before - 1_000 for (before, _), (ms, _) in pairwise(found))
    assert late <= 1
    assert found[-1][0] - found[0][0] > (DAYS - 0.5) * 86_400_000


def test_offline_devices_upload_hours_later() -> None:
    last_ms, late = 0, 0
    for newest_ms, events in newest_events(Shares(retries=0, offline=0.1, malformed=0, poison=0)):
        late += events if newest_ms < last_ms - 1_800_000 else 0
        last_ms = max(last_ms, newest_ms)
    assert 0.03 < late / 30_000 < 0.2


def test_shares_are_kept() -> None:
    plan = Plan(13, DAY, 60_000, 1, Shares(retries=0.1, offline=0, malformed=0.02, poison=0.01))
    truth = GroundTruth(plan.day, plan.catalogue)
    again = sum(isinstance(item, Request) and item.again for item in plan.stream(truth))
    assert again / (truth.requests - again) == pytest.approx(0.1, rel=0.2)
    assert truth.rejected.total() / truth.submitted == pytest.approx(0.02, rel=0.2)
    assert truth.dead_letters.total() / truth.submitted == pytest.approx(0.01, rel=0.25)


def test_a_clean_cinema_has_no_faults() -> None:
    plan = Plan(13, DAY, 5_000, 1, Shares(retries=0, offline=0, malformed=0, poison=0))
    truth = GroundTruth(plan.day, plan.catalogue)
    assert all(isinstance(item, Request) for item in plan.stream(truth))
    assert truth.accepted == 5_000
    assert truth.rows == truth.events


def test_requests_are_those_of_players(streamed: Streamed) -> None:
    _, truth, requests, _ = streamed(11, 30_000)
    sizes = Counter(len(request.expected) for request in requests)
    assert sizes[20] > len(requests) / 2
    assert sizes[1] > 0
    assert 100 < max(sizes) <= 1_000
    bodies = [request.body for request in requests if len(request.expected) == 1]
    assert {body[:1] for body in bodies} == {b"{", b"["}
    views = truth.rows["views", "view_progress"]
    assert 0.85 < views / truth.accepted < 0.98
    assert len(truth.rows) == 9


def test_a_player_ticks_every_half_minute(streamed: Streamed) -> None:
    gaps: Counter[int] = Counter()
    seconds_of_text = 0
    for request in streamed(11, 30_000)[2]:
        events = json.loads(request.body)
        ticks = [
            event
            for event in (events if isinstance(events, list) else [events])
            if isinstance(event, dict) and event.get("type") == "view_progress"
        ]
        seconds_of_text += sum(isinstance(tick.get("occurred_at"), str) for tick in ticks)
        for one, other in pairwise(ticks):
            if isinstance(one.get("occurred_at"), int) and isinstance(
                other.get("occurred_at"), int
            ):
                gaps[other["occurred_at"] - one["occurred_at"]] += 1
    assert gaps[30_000] > 0.85 * gaps.total()
    assert seconds_of_text > 5_000


def viewings_by_day(seed: int, days: int) -> dict[tuple[UUID, str], dict[int, set[int]]]:
    """Viewer and film → day → minutes of it that were played."""
    plan = Plan(seed, DAY, 40_000, days, Shares(0, 0, 0, 0))
    found: dict[tuple[UUID, str], dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for request in plan.stream(GroundTruth(plan.day, plan.catalogue, days)):
        assert isinstance(request, Request)
        for event in judge(request, day_start_ms(DAY) + days * 86_400_000):
            if isinstance(event, ViewProgress):
                day = (event.occurred_at - day_start_ms(DAY)) // 86_400_000
                minute = event.position_ms // 60_000
                found[request.user_id, str(event.content_id)][day].add(minute)
    return found


def test_viewers_come_back_and_go_on_where_they_were() -> None:
    viewings = viewings_by_day(9, days=5)
    days_of: dict[UUID, set[int]] = defaultdict(set)
    for (user, _), days in viewings.items():
        days_of[user] |= set(days)
    assert sum(len(days) for days in days_of.values()) > 3 * len(days_of)
    assert {day for days in days_of.values() for day in days} == {0, 1, 2, 3, 4}
    later = [
        (min(after), max(before))
        for days in viewings.values()
        for (_, before), (_, after) in pairwise(sorted(days.items()))
    ]
    gone_on = sum(last - 6 <= first <= last + 6 and last > 10 for first, last in later)
    assert len(later) > 30
    assert gone_on > 0.5 * len(later)


_PEAK = """
import resource, sys
from datetime import date
from ugc_local.generator import GroundTruth, Plan
plan = Plan(1, date(2026, 1, 15), int(sys.argv[1]), days=int(sys.argv[2]))
for _ in plan.stream(GroundTruth(plan.day, plan.catalogue, plan.days)):
    pass
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


def peak_bytes(events: int, days: int) -> int:
    """The greatest resident memory of a process that streams a plan and nothing else."""
    printed = subprocess.run(
        [sys.executable, "-c", _PEAK, str(events), str(days)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(printed.stdout)


def test_memory_does_not_grow_with_the_number_of_events_or_days() -> None:
    usual = peak_bytes(100_000, 1)
    # Six times the viewers, in memory at a time, would be 10 MiB more.
    assert peak_bytes(600_000, 1) < usual + 4 * 1_048_576
    assert peak_bytes(100_000, 30) < usual + 4 * 1_048_576
