"""How far a replay has come, in a small file, so that a killed one goes on where it was.

The stream is the same each time it is made, so a position is enough: every item below a number
has its answer, and a few beyond it. The file is replaced as a whole, ten times a second, and also
holds the counts of exactly those answers. What was answered after the last time is sent again,
with the same event ids: raw rows may then exceed the ground truth's, distinct events never do.
It survives the death of the process; the end of the machine may cost the last seconds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from ugc_local.generator.messages import Poison, Request
from ugc_local.generator.plan import Plan
from ugc_local.generator.sender import Outcome
from ugc_local.generator.tally import Latencies, Tally
from ugc_local.generator.truth import GroundTruth


class JournalError(Exception):
    """The file is not one of this plan's, or cannot be written; the message says which."""


class _State(msgspec.Struct):
    plan: str
    below: int = 0
    beyond: list[int] = []
    poison: int = 0
    seconds: float = 0.0
    complete: bool = False
    requests: int = 0
    events: int = 0
    accepted: int = 0
    rejected: list[tuple[str, str, int]] = []
    mismatches: int = 0
    examples: list[str] = []
    unknown_outcomes: int = 0
    unreachable: int = 0
    latencies: list[tuple[int, int]] = []


class Journal:
    """The position of one plan's replay. Hand `todo` and `answered` to `replay`.

    Attributes:
        resumed: something was answered before this process began.
        events: how many events are answered, before and now.
    """

    def __init__(self, file: Path, plan: Plan) -> None:
        """Raises JournalError."""
        self._file = file
        self._plan = plan
        self._lock = threading.Lock()
        self._state = self._load()
        self._before_s = self._state.seconds
        self._beyond = set(self._state.beyond)
        self._total = _tally(self._state)
        self._numbers: dict[int, int] = {}  # place in what is left → number in the stream
        self.resumed = bool(self._state.below or self._beyond)
        if self.resumed and not self._state.complete:
            # Nobody knows what became of the requests that were under way.
            self._total.unknown_outcomes += 1

    @property
    def complete(self) -> bool:
        return self._state.complete

    @property
    def events(self) -> int:
        with self._lock:
            return self._total.events

    def todo(self, truth: GroundTruth) -> Iterator[Request | Poison]:
        """The plan's stream without what has its answer; `truth` is told of all of it."""
        state, answered = self._state, frozenset(self._beyond)
        below, place = state.below, 0
        for number, item in enumerate(self._plan.stream(truth)):
            if number >= below and number not in answered:
                with self._lock:
                    self._numbers[place] = number
                place += 1
                yield item

    def answered(self, place: int, tally: Tally) -> None:
        """The item at this place of `todo` has its answer. For `replay`'s `on_answered`."""
        with self._lock:
            self._total.merge(tally)
            self._state.poison += not tally.requests
            self._beyond.add(self._numbers.pop(place))
            while self._state.below in self._beyond:
                self._beyond.remove(self._state.below)
                self._state.below += 1

    def save(self, seconds: float, *, complete: bool = False) -> None:
        """Replace the file. `seconds` is how long this process has been replaying."""
        with self._lock:
            state, total = self._state, self._total
            state.beyond = sorted(self._beyond)
            state.seconds = self._before_s + seconds
            state.complete = complete
            state.requests, state.events = total.requests, total.events
            state.accepted, state.mismatches = total.accepted, total.mismatches
            state.rejected = [(*key, count) for key, count in total.rejected.items()]
            state.examples = total.examples
            state.unknown_outcomes = total.unknown_outcomes
            state.unreachable = total.unreachable
            state.latencies = total.latencies.as_pairs()
            text = msgspec.json.encode(state)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_name(self._file.name + ".new")
            temporary.write_bytes(text)
            os.replace(temporary, self._file)
        except OSError as error:
            raise JournalError(f"the state cannot be written: {error}") from error

    def outcome(self) -> Outcome:
        """Of all processes that took part, up to the last `save`."""
        state = self._state
        return Outcome.of(self._total, state.poison, state.seconds, complete=state.complete)

    def _load(self) -> _State:
        fingerprint = _fingerprint(self._plan)
        try:
            state = msgspec.json.decode(self._file.read_bytes(), type=_State)
        except FileNotFoundError:
            return _State(plan=fingerprint)
        except (OSError, msgspec.MsgspecError) as error:
            raise JournalError(f"{self._file} is not the state of a replay: {error}") from error
        if state.plan != fingerprint:
            raise JournalError(
                f"{self._file} is the state of another replay: other events, days, seed or first "
                "day; remove it to begin anew"
            )
        return state


def _tally(state: _State) -> Tally:
    tally = Tally()
    tally.requests, tally.events, tally.accepted = state.requests, state.events, state.accepted
    tally.rejected.update({(field, reason): count for field, reason, count in state.rejected})
    tally.mismatches, tally.examples = state.mismatches, list(state.examples)
    tally.unknown_outcomes, tally.unreachable = state.unknown_outcomes, state.unreachable
    tally.latencies = Latencies.from_pairs(state.latencies)
    return tally


def _fingerprint(plan: Plan) -> str:
    """Of what decides the stream's bytes."""
    what = (plan.seed, plan.day, plan.target_events, plan.days, plan.shares, plan.habits)
    return blake2b(repr(what).encode(), digest_size=16).hexdigest()
