"""The load: apps that send events over HTTP, and note what the API said of each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from ugc_local.background import BackgroundWork
from ugc_local.generator.connection import Connection, LostError, UnreachableError

_LARGEST_BATCH = 40
_ANSWER_TIMEOUT_S = 30.0
_AGAIN_S = 0.2
_LOST, _UNREACHABLE = "lost", "unreachable"


@dataclass(frozen=True, slots=True)
class Call:
    """One request and its answer.

    Attributes:
        began_s, took_s: by the monotonic clock.
        answer: the HTTP status; `lost` where the connection broke, `unreachable` where there was
            none.
    """

    began_s: float
    took_s: float
    answer: str


class Told:
    """What the apps were told. Filled by their threads; safe to read meanwhile.

    Attributes:
        acknowledged: event id → the event as it was sent, with its viewer, of every event that
            the API has accepted.
        answers: calls by answer.
        calls: those that took longer than `slow_s`.
        accepted_at_s: when a request that was accepted had begun, the latest.
        wrong: answers that no request may get, in words.
    """

    def __init__(self, slow_s: float) -> None:
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.answers: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.slowest_s = 0.0
        self.accepted_at_s = 0.0
        self.wrong: list[str] = []
        self._slow_s = slow_s
        self._lock = threading.Lock()

    @property
    def refused(self) -> int:
        """Answers that Kafka has not acknowledged everything."""
        with self._lock:
            return self.answers["503"]

    @property
    def in_part(self) -> int:
        """Answers that Kafka has acknowledged only some events."""
        with self._lock:
            return self.answers["207"]

    @property
    def without_answer(self) -> int:
        """Requests whose connection broke, or that had none."""
        with self._lock:
            return self.answers[_LOST] + self.answers[_UNREACHABLE]

    def put(self, call: Call, accepted: list[dict[str, Any]], viewer: UUID) -> None:
        """Note one call, and the events of it that were accepted."""
        with self._lock:
            self.answers[call.answer] += 1
            if call.took_s > self._slow_s:
                self.calls.append(call)
            if call.answer not in {_LOST, _UNREACHABLE}:
                self.slowest_s = max(self.slowest_s, call.took_s)
            if accepted:
                self.accepted_at_s = max(self.accepted_at_s, call.began_s)
            for event in accepted:
                self.acknowledged[event["event_id"]] = event | {"user_id": str(viewer)}

    def put_wrong(self, words: str) -> None:
        """Note an answer that no request may get."""
        with self._lock:
            self.wrong.append(words)


class App(BackgroundWork):
    """One viewer's app: it repeats what was not accepted, until the block ends.

    Args:
        api_url: where it sends.
        token: of the viewer.
        per_s: requests a second, at the most.
    """

    def __init__(
        self, api_url: str, viewer: UUID, token: str, *, told: Told, per_s: float, seed: int
    ) -> None:
        self._viewer = viewer
        self._token = token
        self._told = told
        self._every_s = 1 / per_s
        self._chance = Random(seed)  # noqa: S311 - reproducible on purpose
        self._connection = Connection(api_url, timeout_s=_ANSWER_TIMEOUT_S)
        super().__init__(f"app-{seed}")

    def _run(self) -> None:
        left: list[dict[str, Any]] = []
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            left = left or self._events()
            began_s = time.monotonic()
            accepted = self._call(left, began_s)
            left = [event for event in left if event["event_id"] not in accepted]
            rest_s = self._every_s - (time.monotonic() - began_s)
            pause_s = max(rest_s, _AGAIN_S if left else 0.0, 0.0)
        self._connection.close()

    def _call(self, events: list[dict[str, Any]], began_s: float) -> set[str]:
        """Send them; the ids of those that were accepted."""
        body = msgspec.json.encode(events if len(events) > 1 else events[0])
        accepted: set[str] = set()
        try:
            status, answered, _ = self._connection.post(body, self._token)
        except LostError:
            answer = _LOST
        except UnreachableError:
            answer = _UNREACHABLE
        else:
            answer = str(status)
            if status in {202, 207}:
                accepted = self._accepted(msgspec.json.decode(answered), events)
            elif status != 503:
                self._told.put_wrong(f"{status}: {answered[:300]!r}")
        call = Call(began_s, time.monotonic() - began_s, answer)
        self._told.put(
            call, [event for event in events if event["event_id"] in accepted], self._viewer
        )
        return accepted

    def _accepted(self, answer: dict[str, Any], events: list[dict[str, Any]]) -> set[str]:
        results = answer["results"]
        if len(results) != len(events):
            self._told.put_wrong(f"{len(results)} results to {len(events)} events")
        return {result["event_id"] for result in results if result["status"] == "accepted"}

    def _events(self) -> list[dict[str, Any]]:
        size = 1 if self._chance.random() < 0.5 else self._chance.randint(2, _LARGEST_BATCH)
        return [self._event() for _ in range(size)]

    def _event(self) -> dict[str, Any]:
        envelope = {
            "event_id": self._uuid(),
            "occurred_at": time.time_ns() // 1_000_000,
            "session_id": self._uuid(),
            "content_id": self._uuid(),
        }
        return self._chance.choice(_KINDS)(envelope, self._chance)

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


def _tick(envelope: dict[str, Any], chance: Random) -> dict[str, Any]:
    return {
        "type": "view_progress",
        **envelope,
        "position_ms": chance.randrange(7_200_000),
        "duration_ms": 7_200_000,
        "device": "tv",
    }


def _page(envelope: dict[str, Any], chance: Random) -> dict[str, Any]:
    return {"type": "page_view", **envelope, "path": "/films", "dwell_ms": chance.randrange(9_000)}


def _rating(envelope: dict[str, Any], chance: Random) -> dict[str, Any]:
    return {"type": "rating", **envelope, "score": chance.randrange(11)}


_KINDS: tuple[Callable[[dict[str, Any], Random], dict[str, Any]], ...] = (_tick, _page, _rating)
"""One of each family, so that every topic has its share."""
