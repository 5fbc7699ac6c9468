"""From a request's body to records, and from what Kafka said of them to the answer.

Pure: no HTTP, no Kafka, no clock.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

import msgspec
from ugc_events import FAMILIES, Event, Invalid, Reason, Submitted, split_batch, split_lines, submit

from ugc_api.ports import Batch, Record

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
# Between two values of one JSON text there is always more than white space.
_SEVERAL_OBJECTS = re.compile(rb"\}[ \t\r]*\n[ \t\r\n]*\{")

# A string, also one that never ends, or what a JSON text is built with.
_STRUCTURE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[\[\]{},]', re.DOTALL)
# What is before a surrogate, and a pair or (in the group) half of one; or the end.
_SURROGATE = re.compile(
    rb"(?:[^\\]++|\\(?!u[dD][89a-fA-F][0-9a-fA-F]{2}).)*+"
    rb"(?:\\u(?:[dD][89abAB]..\\u[dD][c-fC-F][0-9a-fA-F]{2}|([dD]...))|\\?\Z)",
    re.DOTALL,
)
_MOST_ESCAPES = 32_768
"""Of a body that is looked through for them: each costs 2 µs, and all other requests wait."""
_BETWEEN_ITEMS = re.compile(rb"[ \t\r\n,]*")
_MOST_SIGNS = 256
"""Strings, brackets and commas of an event; none has a quarter of it."""
_COMMA = ord(",")
_PLAUSIBLE = 64
"""Commas or lines of an event: a body with more of them is counted before it is split, since each
item of it takes 100 bytes of memory, and 4 MiB of `0,` are 2 million items."""


class BodyFault(Enum):
    """What can be wrong with a body as a whole."""

    NOT_JSON = "not-json"
    NO_EVENTS = "no-events"
    TOO_MANY_EVENTS = "too-many-events"
    FIXED_FIELD = "fixed-field"
    EVENT_TOO_LARGE = "event-too-large"


class BodyError(Exception):
    """The body as a whole is refused. The message may be shown to the client."""

    def __init__(self, fault: BodyFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class Accepted(msgspec.Struct, tag_field="status", tag="accepted"):
    """Kafka has acknowledged the event's record."""

    event_id: UUID


class Duplicate(msgspec.Struct, tag_field="status", tag="duplicate"):
    """An earlier event of the same request has this id; what was said of that one counts."""

    event_id: UUID


class Retry(msgspec.Struct, tag_field="status", tag="retry"):
    """The event is valid, and Kafka has not acknowledged its record: send it again, same id."""

    event_id: UUID


class Rejected(msgspec.Struct, tag_field="status", tag="invalid"):
    """An event that breaks the contract; the fields are those of `ugc_events.Invalid`."""

    field: str
    reason: Reason
    detail: str


class Answer(msgspec.Struct):
    """The body of an answer. What is in it stays; new fields may come.

    Attributes:
        results: one for each event of the request, in its order.
        accepted, duplicate, invalid, retry: how many of each.
    """

    results: list[Accepted | Duplicate | Rejected | Retry]
    accepted: int
    duplicate: int
    invalid: int
    retry: int


ALL_TAKEN, SOME_TAKEN, NONE_VALID = 202, 207, 400


@dataclass(frozen=True, slots=True)
class Intake:
    """What a body came to.

    Attributes:
        results: the verdict on each event, in the order of the body.
        batch: the records to be published: valid events, each id once.
        reasons: number of invalid events by reason.
    """

    results: Sequence[Submitted | Invalid]
    batch: Batch
    reasons: Mapping[str, int]

    def answer(self, stored: Collection[int] | None = None) -> tuple[int, bytes]:
        """The HTTP status and the body, an `Answer` in JSON.

        Args:
            stored: the places in `batch.records` that are stored; None for all.
        """
        if stored is None and len(self.batch.records) == len(self.results):
            ids = '"},{"status":"accepted","event_id":"'.join(
                [event.event_id for event in self.results if isinstance(event, Submitted)]
            )
            results = f'{{"status":"accepted","event_id":"{ids}"}}'
            counts = Counter(accepted=len(self.results))
        else:
            fates = self._fates(stored)
            results = ",".join([text for _, text in fates])
            counts = Counter([status for status, _ in fates])
        body = (
            f'{{"results":[{results}],"accepted":{counts["accepted"]},'
            f'"duplicate":{counts["duplicate"]},"invalid":{counts["invalid"]},'
            f'"retry":{counts["retry"]}}}'
        )
        return _status(counts), body.encode()

    def _fates(self, stored: Collection[int] | None) -> list[tuple[str, str]]:
        """Of each event its status and its result in JSON."""
        fates = []
        places: dict[str, int] = {}
        for event in self.results:
            if isinstance(event, Invalid):
                rejected = Rejected(event.field, event.reason, event.detail)
                fates.append(("invalid", msgspec.json.encode(rejected).decode()))
                continue
            event_id = event.event_id
            if event_id in places:
                status = "duplicate"
            else:
                place = places[event_id] = len(places)
                status = "accepted" if stored is None or place in stored else "retry"
            fates.append((status, f'{{"status":"{status}","event_id":"{event_id}"}}'))
        return fates


def _status(counts: Mapping[str, int]) -> int:
    if not counts["accepted"]:
        return NONE_VALID
    return SOME_TAKEN if counts["invalid"] or counts["retry"] else ALL_TAKEN


class Ingest:
    """Reads bodies for one deployment.

    Args:
        topic_prefix: of the topics' names.
        max_batch: most events of one body.
        new_event_id: called for each event that came without an id.
        max_age_ms: how long ago an event may have occurred; None for any time.
    """

    def __init__(
        self,
        *,
        topic_prefix: str,
        max_batch: int,
        new_event_id: Callable[[], UUID],
        max_age_ms: int | None = None,
    ) -> None:
        self._max_batch = max_batch
        self._max_age_ms = max_age_ms
        self._new_event_id = new_event_id
        self._topics: dict[type[Event], str] = {
            event_type: family.topic_of(topic_prefix)
            for family in FAMILIES
            for event_type in family.types
        }
        self._families = {family.topic_of(topic_prefix): family.name for family in FAMILIES}

    def read(
        self,
        body: bytes,
        *,
        user_id: UUID | None,
        received_at_ms: int,
        traceparent: str | None,
        lines: bool = False,
    ) -> Intake:
        """Decode a body: one event, an array of events, or events line by line.

        Args:
            body: as it came, decompressed.
            user_id: whose events these are; None for an anonymous viewer's.
            received_at_ms: the server's clock, ms since the epoch; also the records' timestamp.
            traceparent: the request's header; passed on in the records where it is valid.
            lines: whether the client says that it is newline-delimited JSON.

        Raises BodyError.
        """
        items = self._split(body, lines=lines)
        results = submit(
            items,
            user_id=user_id,
            received_at=received_at_ms,
            new_event_id=self._new_event_id,
            oldest=0 if self._max_age_ms is None else received_at_ms - self._max_age_ms,
        )
        first = results[0]
        # Of an array the items were found to be JSON when it was split.
        if len(results) == 1 and isinstance(first, Invalid) and first.reason is Reason.NOT_JSON:
            raise BodyError(BodyFault.NOT_JSON, first.detail)
        topics = self._topics
        records: list[Record] = []
        reasons: Counter[str] = Counter()
        seen: set[str] = set()
        for event in results:
            if isinstance(event, Invalid):
                reasons[event.reason.value] += 1
            elif event.event_id not in seen:
                seen.add(event.event_id)
                records.append((topics[event.event_type], event.key, event.value))
        return Intake(results, Batch(records, received_at_ms, _headers(traceparent)), reasons)

    def families_of(self, records: Sequence[Record]) -> Mapping[str, int]:
        """How many records each family has."""
        counts = Counter([topic for topic, _, _ in records])
        return {self._families[topic]: count for topic, count in counts.items()}

    def _split(self, body: bytes, *, lines: bool) -> Sequence[bytes]:
        items: Sequence[bytes] | Invalid
        plausible = _PLAUSIBLE * self._max_batch
        if lines or (b"\n" in body and _SEVERAL_OBJECTS.search(body)):
            if body.count(b"\n") > plausible:
                raise self._too_many()
            items = split_lines(body)
        else:
            # Of each two bytes at least one is a comma where there are the most items.
            suspect = len(body) > 2 * plausible and body.count(b",") > plausible
            if suspect and _has_more_items(body, self._max_batch):
                raise self._too_many()
            items = split_batch(body)
            if isinstance(items, Invalid):
                items = _split_with_half_pairs(body) or items
        if isinstance(items, Invalid):
            raise BodyError(BodyFault.NOT_JSON, items.detail)
        if not items:
            raise BodyError(BodyFault.NO_EVENTS, "the body has no events")
        if len(items) > self._max_batch:
            raise self._too_many()
        return items

    def _too_many(self) -> BodyError:
        return BodyError(
            BodyFault.TOO_MANY_EVENTS, f"a request carries at most {self._max_batch} events"
        )


def _has_more_items(body: bytes, most: int) -> bool:
    """Whether an array has more items than this, or more in them than so many events have."""
    depth = 0
    commas = 0
    for count, found in enumerate(_STRUCTURE.finditer(body)):
        if count > _MOST_SIGNS * most:
            return True
        sign = body[found.start()]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
        elif depth == 1 and sign == _COMMA:
            commas += 1
            if commas >= most:
                return True
    return False


def _split_with_half_pairs(body: bytes) -> Sequence[bytes] | None:
    """The items of an array where texts have half of a surrogate pair; None where that is not it.

    An app that cuts a text in the middle of an emoji sends such. It is JSON by its grammar (RFC
    8259, section 8.2) and the decoder takes none of it, but only that item is to be refused.
    """
    if not body.lstrip().startswith(b"[") or body.count(b"\\") > _MOST_ESCAPES:
        return None
    whole = bytearray(body)
    for found in _SURROGATE.finditer(body):
        if found[1] is not None:
            whole[found.start(1) : found.end(1)] = b"fffd"
    items = split_batch(bytes(whole))
    if isinstance(items, Invalid) or whole == body:
        return None
    at = body.index(b"[") + 1
    parts = []
    for item in items:
        between = _BETWEEN_ITEMS.match(body, at)
        start = between.end() if between else at
        at = start + len(item)
        parts.append(body[start:at])
    return parts


def _headers(traceparent: str | None) -> Sequence[tuple[str, bytes]]:
    """W3C Trace Context: a header that breaks the format is ignored."""
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        return ()
    return (("traceparent", traceparent.encode()),)
