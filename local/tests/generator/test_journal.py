"""A replay that was interrupted or killed goes on where it was, and loses nothing."""

import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from functools import partial
from pathlib import Path
from random import Random

import pytest
from small_api import Api, token_of
from ugc_local.deadline import Deadline
from ugc_local.generator import GroundTruth, Journal, JournalError, Outcome, Plan, Request, replay

PLAN = Plan(31, date(2026, 1, 15), 8_000, days=2)
CONNECTIONS = 3

_CHILD = """
import sys, time
from datetime import date
from functools import partial
from pathlib import Path
from ugc_local.generator import GroundTruth, Journal, Plan, replay

plan = Plan(31, date(2026, 1, 15), 8_000, days=2)
journal = Journal(Path(sys.argv[2]), plan)
began = time.monotonic()

def poison(topic, key, value, headers):
    with open(sys.argv[3], "ab") as file:
        file.write(key + b"\\n")

replay(
    journal.todo(GroundTruth(plan.day, plan.catalogue, plan.days)),
    sys.argv[1],
    "token of {}".format,
    send_poison=poison,
    connections=3,
    on_progress=lambda _: journal.save(time.monotonic() - began),
    on_answered=journal.answered,
)
journal.save(time.monotonic() - began, complete=True)
"""


def whole() -> tuple[GroundTruth, Counter[bytes]]:
    """The truth of the plan, and how often each body is due."""
    truth = GroundTruth(PLAN.day, PLAN.catalogue, PLAN.days)
    items = list(PLAN.stream(truth))
    return truth, Counter(item.body for item in items if isinstance(item, Request))


def taken(api: Api) -> Counter[bytes]:
    return Counter(body for bodies in api.taken.values() for body in bodies)


def _has_come_to(api: Api, requests: int, child: subprocess.Popen[bytes]) -> bool:
    answered = sum(map(len, tuple(api.taken.values())))
    return answered >= requests or child.poll() is not None


def go_on(api: Api, state: Path) -> Outcome:
    journal = Journal(state, PLAN)
    replay(
        journal.todo(GroundTruth(PLAN.day, PLAN.catalogue, PLAN.days)),
        api.url,
        token_of,
        send_poison=lambda *_: None,
        connections=CONNECTIONS,
        on_progress=lambda _: journal.save(1.0),
        on_answered=journal.answered,
    )
    journal.save(1.0, complete=True)
    return Journal(state, PLAN).outcome()


def test_a_killed_replay_goes_on_and_loses_nothing(api: Api, tmp_path: Path) -> None:
    state, poison = tmp_path / "state.json", tmp_path / "poison"
    command = [sys.executable, "-c", _CHILD, api.url, str(state), str(poison)]
    rng, kills = Random(5), 0
    # Slow enough to be killed in the middle; a child that is too fast for it ends the loop.
    api.behaviour = lambda _: time.sleep(0.003)
    for _ in range(3):
        wanted = taken(api).total() + 40 + int(rng.random() * 40)
        with subprocess.Popen(command) as child:
            Deadline.after(60).poll(partial(_has_come_to, api, wanted, child))
            child.send_signal(signal.SIGKILL)
            kills += child.wait() == -signal.SIGKILL
    assert kills == 3
    api.behaviour = lambda _: None
    outcome = go_on(api, state)

    truth, due = whole()
    found = taken(api)
    assert set(found) == set(due)
    assert not due - found
    # What was answered in the last tenth of a second, or was under way, went twice.
    assert 0 < (found - due).total() < 0.5 * due.total()
    assert outcome.complete
    assert (outcome.requests, outcome.events) == (truth.requests, truth.submitted)
    assert (outcome.accepted, outcome.rejected) == (truth.accepted, truth.rejected)
    assert outcome.poison == truth.dead_letters.total()
    assert outcome.mismatches == 0
    assert outcome.unknown_outcomes == kills


def test_the_state_is_small_and_says_that_all_is_done(api: Api, tmp_path: Path) -> None:
    state = tmp_path / "of" / "a" / "replay.json"
    outcome = go_on(api, state)
    assert outcome.complete
    assert outcome.unknown_outcomes == 0
    assert state.stat().st_size < 4_000
    assert list(state.parent.iterdir()) == [state]
    journal = Journal(state, PLAN)
    assert journal.complete
    assert not list(journal.todo(GroundTruth(PLAN.day, PLAN.catalogue, PLAN.days)))


def test_the_truth_of_what_is_resumed_is_that_of_all(api: Api, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    api.behaviour = lambda attempt: None if attempt < 200 else 401
    go_on(api, state)
    truth = GroundTruth(PLAN.day, PLAN.catalogue, PLAN.days)
    list(Journal(state, PLAN).todo(truth))
    assert (truth.submitted, truth.films) == (8_000, whole()[0].films)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"{", "not the state"), (b'{"plan":"another"}', "of another replay"), (b"[]", "not the st")],
)
def test_a_state_of_something_else_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(JournalError, match=what):
        Journal(tmp_path / "state.json", PLAN)


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "folder" / "state.json", PLAN)
    (tmp_path / "folder").touch()
    with pytest.raises(JournalError, match="cannot be written"):
        journal.save(0.0)
