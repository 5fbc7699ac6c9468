"""The dead letters that count: which there are, chosen and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ugc_events import DeadLetter, Reason

from ugc_etl.operations.ports import KafkaLog, LetterRecord


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are meant; None leaves a side open.

    Attributes:
        topic: the original record's, with the deployment's prefix.
        partition, offset: of the original record.
        since_ms, until_ms: when the record was refused first, [since, until).
    """

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    reason: Reason | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant."""
        return (
            self.topic in (None, letter.topic)
            and self.partition in (None, letter.partition)
            and self.offset in (None, letter.offset)
            and self.reason in (None, letter.reason)
            and (self.since_ms is None or letter.first_seen_ms >= self.since_ms)
            and (self.until_ms is None or letter.first_seen_ms < self.until_ms)
        )


def chosen(kafka: KafkaLog, topic: str, choice: Choice) -> list[LetterRecord]:
    """The letters that count now, without their values and headers, by topic and place."""
    newest: dict[bytes, LetterRecord] = {}
    for record in kafka.letters(topic):
        newest.pop(record.key, None)
        if record.letter is not None and choice.takes(record.letter):
            bare = replace(record.letter, key=None, value=None, headers=())
            newest[record.key] = record._replace(letter=bare)
    return sorted(newest.values(), key=_place)


def whole(
    kafka: KafkaLog, topic: str, records: Sequence[LetterRecord], page: int = 100
) -> Iterator[list[LetterRecord]]:
    """The same letters with values and headers, in pages, so that memory stays bounded."""
    wanted = {(record.partition, record.offset) for record in records}
    taken: list[LetterRecord] = []
    for record in kafka.letters(topic):
        if (record.partition, record.offset) in wanted:
            taken.append(record)
        if len(taken) >= page:
            yield taken
            taken = []
    if taken:
        yield taken


def _place(record: LetterRecord) -> tuple[str, str, int, int]:
    letter = record.letter
    return ("", "", 0, 0) if letter is None else (
        letter.topic, letter.topic_id, letter.partition, letter.offset,
    )  # fmt: skip


def listing(records: Sequence[LetterRecord], most: int) -> str:
    """A line for each letter, up to `most`, and how many there are by reason."""
    rows: list[tuple[str, ...]] = [("place", "first seen", "reason", "field", "bytes", "detail")]
    rows += [_line(r.letter, r.size_bytes) for r in records[:most] if r.letter is not None]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(row[:5], widths, strict=True)), row[5]])
        for row in rows
    ]
    if len(records) > most:
        lines.append(f"and {len(records) - most:,} more: --limit shows them")
    reasons = Counter(r.letter.reason.value for r in records if r.letter is not None)
    by_reason = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return "\n".join(
        [*lines, f"{len(records):,} dead letters" + (f": {by_reason}" * bool(records))]
    )


def _line(letter: DeadLetter, size_bytes: int) -> tuple[str, ...]:
    return (
        f"{letter.topic}[{letter.partition}] {letter.offset}",
        as_time(letter.first_seen_ms),
        letter.reason.value,
        letter.field or "-",
        str(letter.cut_from_bytes or size_bytes),
        letter.detail,
    )


def inspection(letter: DeadLetter) -> str:
    """Everything that is known of a letter; bytes as text where they are that, else in hex."""
    lines = [
        f"place       {letter.topic}[{letter.partition}] {letter.offset}",
        f"topic id    {letter.topic_id}",
        f"timestamp   {as_time(letter.timestamp_ms)}",
        f"first seen  {as_time(letter.first_seen_ms)}",
        f"reason      {letter.reason.value}",
        f"field       {letter.field or '-'}",
        f"detail      {letter.detail}",
        f"key         {_shown(letter.key)}",
        *(f"header      {name}: {_shown(content)}" for name, content in letter.headers),
    ]
    if letter.cut_from_bytes:
        lines.append(
            f"value       the first {len(letter.value or b'')} of {letter.cut_from_bytes} bytes"
        )
    else:
        lines.append(
            f"value       {'null' if letter.value is None else f'{len(letter.value)} bytes'}"
        )
    return "\n".join([*lines, "", _shown(letter.value)])


def as_object(record: LetterRecord) -> dict[str, Any]:
    """For JSON; without key, value and headers, which may be any bytes."""
    letter = record.letter
    if letter is None:
        return {}
    return {
        "topic": letter.topic,
        "topic_id": letter.topic_id,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp_ms": letter.timestamp_ms,
        "first_seen_ms": letter.first_seen_ms,
        "reason": letter.reason.value,
        "field": letter.field,
        "detail": letter.detail,
        "value_bytes": letter.cut_from_bytes or record.size_bytes,
    }


def as_time(ms: int) -> str:
    """UTC, to the second; the number itself where no calendar holds it."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def _shown(content: bytes | None) -> str:
    if content is None:
        return "null"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable():
        return text
    lines = [
        f"{at:08x}  {content[at : at + 16].hex(' '):<47}  "
        + "".join(chr(b) if 32 <= b < 127 else "." for b in content[at : at + 16])
        for at in range(0, len(content), 16)
    ]
    return "\n".join(lines) or "(empty)"
