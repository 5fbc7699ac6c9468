"""Sending events to the API as a viewer's app does: in batches, repeated with the same ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from ugc_local.deadline import Deadline
from ugc_local.generator.connection import Answer, Connection, LostError, UnreachableError
from ugc_local.tools.events_input import Given

# Half of what one request may carry by the API's defaults.
_BATCH_EVENTS = 500
_BATCH_BYTES = 2 << 20
_TIMEOUT_S = 30.0
_PATIENCE_S = 60.0
_PAUSE_S = 0.5

_TAKEN = {202, 207, 400}


class SendError(Exception):
    """The API did not take the request; the message says why, and how far sending came."""


class Refused(NamedTuple):
    """An event that was not taken, and why, in the words of the API."""

    place: str
    field: str
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.place}: {self.field or 'event'}: {self.reason}: {self.detail}"


@dataclass(slots=True)
class Sent:
    """How many events were accepted and refused so far, and how many others repeated an id."""

    accepted: int = 0
    refused: int = 0
    duplicate: int = 0

    def __str__(self) -> str:
        total = self.accepted + self.refused + self.duplicate
        repeated = f"{self.duplicate} duplicates, " if self.duplicate else ""
        return f"{total} sent: {self.accepted} accepted, {repeated}{self.refused} refused"


class _Verdict(msgspec.Struct):
    status: Literal["accepted", "duplicate", "invalid", "retry"]
    field: str = ""
    reason: str = ""
    detail: str = ""


class _Results(msgspec.Struct):
    results: list[_Verdict]


class _Problem(msgspec.Struct):
    detail: str = ""
    title: str = ""


_results = msgspec.json.Decoder(_Results)


def identified(event: bytes, new_id: Callable[[], UUID]) -> bytes:
    """The JSON object with an `event_id`, its own or a new one; otherwise byte for byte the same.

    With an id a request can be repeated when nobody knows whether it arrived.
    """
    fields = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    if "event_id" in fields:
        return event
    rest = event[event.index(b"{") + 1 :]
    comma = b"," if fields else b""
    return b'{"event_id":"%s"%s%s' % (str(new_id()).encode(), comma, rest)


def send(
    events: Iterable[Given],
    api_url: str,
    token: str,
    *,
    new_id: Callable[[], UUID],
    tally: Sent,
    say: Callable[[str], None],
) -> Iterator[Refused]:
    """Send all of `events`, counting into `tally`; yields those that are refused.

    A request that is not acknowledged is repeated for a minute. `say` hears about that. Raises
    SendError, behind which `tally` tells what was accepted.
    """
    connection = Connection(api_url, timeout_s=_TIMEOUT_S)
    try:
        for batch in _batches(events):
            if isinstance(batch, Refused):
                tally.refused += 1
                yield batch
                continue
            body = b"[" + b",".join(identified(given.data, new_id) for given in batch) + b"]"
            answer = _post(connection, body, token, say)
            verdicts = _results.decode(answer.body).results
            for given, verdict in zip(batch, verdicts, strict=True):
                if verdict.status == "invalid":
                    tally.refused += 1
                    yield Refused(given.place, verdict.field, verdict.reason, verdict.detail)
                elif verdict.status == "duplicate":
                    tally.duplicate += 1
                else:
                    tally.accepted += 1
    finally:
        connection.close()


def _batches(events: Iterable[Given]) -> Iterator[list[Given] | Refused]:
    batch: list[Given] = []
    size = 0
    for given in events:
        if fault := given.fault():
            # Behind those before it, so that refusals come in the order of the input.
            if batch:
                yield batch
            yield Refused(given.place, fault.field, fault.reason, fault.detail)
            batch, size = [], 0
            continue
        if len(batch) == _BATCH_EVENTS or size + len(given.data) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(given)
        size += len(given.data)
    if batch:
        yield batch


def _post(connection: Connection, body: bytes, token: str, say: Callable[[str], None]) -> Answer:
    deadline = Deadline.after(_PATIENCE_S)
    trouble = ""
    last: Answer | None = None

    def taken() -> bool:
        nonlocal trouble, last
        try:
            last = connection.post(body, token)
        except UnreachableError as error:
            raise SendError(
                f"the API does not answer ({error}): ugc status says what runs"
            ) from error
        except LostError as error:
            seen = f"the connection to the API broke ({error})"
        else:
            if not last.again:
                return True
            seen = "not all is acknowledged" if last.status == 207 else _sentence(last)
        if seen != trouble:
            trouble = seen
            say(f"{seen}; trying again for up to {_PATIENCE_S:.0f} s")
        return False

    if not deadline.poll(taken, interval_s=_PAUSE_S) or last is None:
        raise SendError(f"given up after {_PATIENCE_S:.0f} s: {trouble}")
    if last.status not in _TAKEN or not _has_results(last):
        raise SendError(f"the API answered {last.status}: {_sentence(last)}")
    return last


def _has_results(answer: Answer) -> bool:
    try:
        _results.decode(answer.body)
    except msgspec.DecodeError:
        return False
    return True


def _sentence(answer: Answer) -> str:
    """What a problem document (RFC 9457) says, or the body's beginning."""
    try:
        problem = msgspec.json.decode(answer.body, type=_Problem)
    except msgspec.DecodeError:
        return answer.body[:200].decode(errors="replace")
    return problem.detail or problem.title
