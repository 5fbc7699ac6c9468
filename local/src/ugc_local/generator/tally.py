"""What came back from the API, against what had to: counts, examples, latencies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from ugc_local.generator.connection import Answer
from ugc_local.generator.messages import Refusal, Request

MAX_EXAMPLES = 10
_EXAMPLE_BYTES = 400


class Result(msgspec.Struct):
    status: str
    event_id: str | None = None
    field: str | None = None
    reason: str | None = None


class Body(msgspec.Struct):
    """What the API says of a request that it has looked into."""

    results: list[Result]
    accepted: int
    invalid: int


_decoder = msgspec.json.Decoder(Body)


def read(answer: Answer) -> Body | None:
    """The answer's body, or None where it has another shape."""
    try:
        return _decoder.decode(answer.body)
    except msgspec.MsgspecError:
        return None


def mismatch(request: Request, answer: Answer, body: Body | None) -> str | None:
    """What is wrong with the answer to the request, in a sentence, or None."""
    due = request.expected
    refused = sum(isinstance(expected, Refusal) for expected in due)
    status = 202 if not refused else 400 if refused == len(due) else 207
    if answer.status != status:
        return f"status {answer.status} instead of {status}: {_excerpt(answer.body)}"
    if body is None:
        return f"an answer of another shape: {_excerpt(answer.body)}"
    if len(body.results) != len(due):
        return f"{len(body.results)} results for {len(due)} events"
    counts = (len(due) - refused, refused)
    if (body.accepted, body.invalid) != counts:
        return f"counts {body.accepted}, {body.invalid} instead of {counts[0]}, {counts[1]}"
    for number, (expected, result) in enumerate(zip(due, body.results, strict=True)):
        if isinstance(expected, Refusal):
            right = result.status == "invalid" and (result.field, result.reason) == expected
        else:
            right = result.status == "accepted" and result.event_id == expected
        if not right:
            return f"event {number}: {result} instead of {expected}"
    return None


def _excerpt(body: bytes) -> str:
    return body[:_EXAMPLE_BYTES].decode(errors="replace")


class Latencies:
    """A histogram in bounded memory; its quantiles are at most 9 % too high."""

    _PER_OCTAVE = 8

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        self._buckets[math.ceil(self._PER_OCTAVE * math.log2(max(seconds, 1e-6)))] += 1

    def merge(self, other: Latencies) -> None:
        self._buckets.update(other._buckets)

    def as_pairs(self) -> list[tuple[int, int]]:
        """For `from_pairs`."""
        return sorted(self._buckets.items())

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[int, int]]) -> Latencies:
        made = cls()
        made._buckets.update(dict(pairs))
        return made

    def quantile_s(self, q: float) -> float:
        """The upper bound of the bucket that holds the quantile, in seconds; 0 if empty."""
        rank = math.ceil(q * self._buckets.total())
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return float(2 ** (bucket / self._PER_OCTAVE))
        return 0.0


class Tally:
    """The counts of one connection, or of all together."""

    def __init__(self) -> None:
        self.requests = 0
        self.events = 0
        self.accepted = 0
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.mismatches = 0
        self.examples: list[str] = []
        self.unknown_outcomes = 0
        self.unreachable = 0
        self.latencies = Latencies()

    def answered(self, request: Request, answer: Answer, seconds: float) -> None:
        self.requests += 1
        self.events += len(request.expected)
        self.latencies.add(seconds)
        body = read(answer)
        for result in body.results if body else ():
            if result.status == "accepted":
                self.accepted += 1
            else:
                self.rejected[result.field or "", result.reason or ""] += 1
        if (wrong := mismatch(request, answer, body)) is not None:
            self.mismatches += 1
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(f"{wrong}; the request began {_excerpt(request.body)}")

    def merge(self, other: Tally) -> None:
        self.requests += other.requests
        self.events += other.events
        self.accepted += other.accepted
        self.rejected += other.rejected
        self.mismatches += other.mismatches
        self.examples = (self.examples + other.examples)[:MAX_EXAMPLES]
        self.unknown_outcomes += other.unknown_outcomes
        self.unreachable += other.unreachable
        self.latencies.merge(other.latencies)
