"""A record that could not be taken, kept whole with what is known of it.

The value of a dead letter is the original value, byte for byte, so that any Kafka tool can look
at it; what is said of it, the original key and the original headers travel as headers. The key
names the record's place, so that in a compacted topic repeating a dead letter changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ugc_events.verdicts import Reason

Headers = Sequence[tuple[str, bytes | None]]

_PREFIX = "ugc.dead-letter."
_ORIGINAL = "ugc.original."
MAX_PAYLOAD_BYTES = 1024 * 1024
"""Longer values are cut to this, and say so: an oversized dead letter would be refused itself."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record.

    Attributes:
        topic, topic_id, partition, offset: the record's place; the id tells a topic made anew.
        key, value, headers: the record as it was; `value` may be cut, see `cut_from_bytes`.
        timestamp_ms: the record's own timestamp.
        field, reason, detail: the verdict.
        first_seen_ms: when it was refused first, ms since the epoch.
        cut_from_bytes: the value's true length where it was cut, else 0.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    field: str
    reason: Reason
    detail: str
    first_seen_ms: int
    cut_from_bytes: int = 0

    def to_record(self) -> tuple[bytes, bytes, list[tuple[str, bytes | None]]]:
        """The dead letter's own Kafka record: key, value, headers.

        A null value becomes an empty one with a header that says so: in a compacted topic a null
        would be a deletion.
        """
        value = self.value or b""
        said = {
            "topic": self.topic,
            "topic-id": self.topic_id,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "timestamp-ms": str(self.timestamp_ms),
            "field": self.field,
            "reason": self.reason.value,
            "detail": self.detail,
            "first-seen-ms": str(self.first_seen_ms),
            "null-value": "1" if self.value is None else "0",
            "cut-from-bytes": str(max(self.cut_from_bytes, _cut_from(value))),
        }
        headers: list[tuple[str, bytes | None]] = [
            (_PREFIX + name, text.encode()) for name, text in said.items()
        ]
        if self.key is not None:
            headers.append((_PREFIX + "key", self.key))
        headers += [(_ORIGINAL + name, content) for name, content in self.headers]
        place = f"{self.topic_id}:{self.partition}:{self.offset}"
        return place.encode(), value[:MAX_PAYLOAD_BYTES], headers

    @classmethod
    def from_record(cls, value: bytes, headers: Iterable[tuple[str, bytes | None]]) -> DeadLetter:
        """Read a dead letter's record. Raises KeyError or ValueError where it is not one."""
        said: dict[str, bytes] = {}
        original: list[tuple[str, bytes | None]] = []
        for name, content in headers:
            if name.startswith(_ORIGINAL):
                original.append((name.removeprefix(_ORIGINAL), content))
            elif name.startswith(_PREFIX) and content is not None:
                said[name.removeprefix(_PREFIX)] = content

        def text(name: str) -> str:
            return said[name].decode()

        return cls(
            topic=text("topic"),
            topic_id=text("topic-id"),
            partition=int(text("partition")),
            offset=int(text("offset")),
            key=said.get("key"),
            value=None if text("null-value") == "1" else value,
            headers=original,
            timestamp_ms=int(text("timestamp-ms")),
            field=text("field"),
            reason=Reason(text("reason")),
            detail=text("detail"),
            first_seen_ms=int(text("first-seen-ms")),
            cut_from_bytes=int(text("cut-from-bytes")),
        )


def _cut_from(value: bytes) -> int:
    return len(value) if len(value) > MAX_PAYLOAD_BYTES else 0
