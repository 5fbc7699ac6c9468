"""From a request's body to records and verdicts. Pure: no HTTP, no Kafka, no clock."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar
from uuid import UUID

import msgspec
from ugc_events import (
    FAMILIES,
    Event,
    Invalid,
    Reason,
    decode_submission,
    encode_record,
    record_key,
    split_batch,
)

from ugc_api.ports import Record

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_encoder = msgspec.json.Encoder()


class Accepted(msgspec.Struct, tag_field="status", tag="accepted", gc=False):
    """An event that Kafka will have acknowledged when the client reads this."""

    event_id: UUID


class Rejected(msgspec.Struct, tag_field="status", tag="invalid", gc=False):
    """An event that breaks the contract; the fields are those of `ugc_events.Invalid`."""

    field: str
    reason: Reason
    detail: str


class Answer(msgspec.Struct):
    """The body of an answer. This shape stays.

    Attributes:
        results: one for each event of the request, in its order.
        accepted, invalid: how many of each.
    """

    results: list[Accepted | Rejected]
    accepted: int
    invalid: int

    ALL: ClassVar[int] = 202
    SOME: ClassVar[int] = 207
    NONE: ClassVar[int] = 400

    @property
    def status(self) -> int:
        """The HTTP status that goes with it."""
        if not self.invalid:
            return self.ALL
        return self.SOME if self.accepted else self.NONE

    def encode(self) -> bytes:
        """As JSON."""
        return _encoder.encode(self)


class BodyFault(Enum):
    """What can be wrong with a body as a whole."""

    NOT_JSON = "not-json"
    NO_EVENTS = "no-events"
    TOO_MANY_EVENTS = "too-many-events"


class BodyError(Exception):
    """The body as a whole is refused. The message may be shown to the client."""

    def __init__(self, fault: BodyFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(slots=True)
class Intake:
    """What a body came to.

    Attributes:
        records: to be published, in the order of the body.
        answer: to be given once they are.
        families: number of valid events by family.
        reasons: number of invalid events by reason.
    """

    records: list[Record]
    answer: Answer
    families: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


class Ingest:
    """Reads bodies for one deployment.

    Args:
        topic_prefix: of the topics' names.
        max_batch: most events of one body.
        new_event_id: called for each event that came without an id.
    """

    def __init__(
        self, *, topic_prefix: str, max_batch: int, new_event_id: Callable[[], UUID]
    ) -> None:
        self._max_batch = max_batch
        self._new_event_id = new_event_id
        self._routes: dict[type[Event], tuple[str, str]] = {
            event_type: (family.name, family.topic_of(topic_prefix))
            for family in FAMILIES
            for event_type in family.types
        }

    def read(
        self, body: bytes, *, user_id: UUID, received_at_ms: int, traceparent: str | None
    ) -> Intake:
        """Decode a body of one event or an array of events.

        Args:
            body: as it came.
            user_id: whose events these are.
            received_at_ms: the server's clock, ms since the epoch; also the records' timestamp.
            traceparent: the request's header; passed on in the records where it is valid.

        Raises BodyError.
        """
        items = split_batch(body)
        if isinstance(items, Invalid):
            raise BodyError(BodyFault.NOT_JSON, items.detail)
        if not items:
            raise BodyError(BodyFault.NO_EVENTS, "the array is empty")
        if len(items) > self._max_batch:
            raise BodyError(
                BodyFault.TOO_MANY_EVENTS, f"a request carries at most {self._max_batch} events"
            )
        headers = _headers(traceparent)
        intake = Intake([], Answer([], 0, 0))
        records, results = intake.records, intake.answer.results
        for item in items:
            event = decode_submission(
                item,
                user_id=user_id,
                received_at=received_at_ms,
                new_event_id=self._new_event_id,
            )
            if isinstance(event, Invalid):
                # Of an array the items were found to be JSON when it was split.
                if event.reason is Reason.NOT_JSON and len(items) == 1:
                    raise BodyError(BodyFault.NOT_JSON, event.detail)
                intake.reasons[event.reason.value] += 1
                results.append(Rejected(event.field, event.reason, event.detail))
                continue
            family, topic = self._routes[type(event)]
            intake.families[family] += 1
            results.append(Accepted(event.event_id))
            records.append(
                Record(topic, record_key(event), encode_record(event), received_at_ms, headers)
            )
        intake.answer.accepted = len(records)
        intake.answer.invalid = len(results) - len(records)
        return intake


def _headers(traceparent: str | None) -> tuple[tuple[str, bytes], ...]:
    """W3C Trace Context: a header that breaks the format is ignored."""
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        return ()
    return (("traceparent", traceparent.encode()),)
