"""Rows and dead letters against the truth, place by place and event by event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from msgspec import structs
from ugc_events import FAMILIES, Event, Family
from ugc_events.registry import ENVELOPE_COLUMNS, Column

from ugc_local.chaos.outcome import Verdict
from ugc_local.chaos.recipe import Recipe
from ugc_local.chaos.truth import Truth

_MOST_DIFFERENCES = 20
_NULL = r"\N"
Place = tuple[str, int, int]
"""Topic, partition, offset."""


def columns(family: Family) -> tuple[Column, ...]:
    """The columns that are compared: all that come from the event."""
    return ENVELOPE_COLUMNS + family.columns


def select(column: Column) -> str:
    """The expression whose TabSeparated text `row_of` gives."""
    if column.type.startswith("DateTime64"):
        return f"toUnixTimestamp64Milli({column.name})"
    return column.name


def row_of(family: Family, event: Event) -> list[str]:
    """The texts of the event's row."""
    fields = structs.asdict(event)
    fields["type"] = str(event.__struct_config__.tag)
    return [_text(column.type, fields.get(column.name)) for column in columns(family)]


def _text(column_type: str, value: object) -> str:
    if value is None:
        if column_type.startswith("Nullable"):
            return _NULL
        return "{}" if column_type.startswith("Map") else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Ledger:
    """Collects what was found, and says what is missing or too many. Streams in any order."""

    def __init__(self, recipe: Recipe, truth: Truth, prefix: str = "") -> None:
        self.verdict = Verdict(events=truth.acknowledged)
        self.appeared: set[int] = set()
        self._recipe = recipe
        self._truth = truth
        self._families = {family.topic_of(prefix): family for family in FAMILIES}
        self._rows: defaultdict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self._letters: defaultdict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self._numbers = bytearray()

    def row(self, place: Place, values: Sequence[str]) -> None:
        """A row: its place, and the texts of `columns`."""
        self.verdict.rows += 1
        topic, partition, offset = place
        if _count(self._rows[topic, partition], offset) > 1:
            self.verdict.duplicated += 1
            return
        written = self._recipe.number_of(UUID(values[0]))
        number = self._truth.number_at(*place)
        if number is None and written in self._truth.unknown:
            self.appeared.add(written)
            number = written
        if number is None:
            self.verdict.duplicated += 1
            self._differs(f"{_named(place)}: a row where nothing was acknowledged: {values}")
            return
        if _count(self._numbers, number) > 1:
            self.verdict.duplicated += 1
            self._differs(f"{_named(place)}: record {number} is a row elsewhere already")
        made = self._recipe.record(number)
        expected = row_of(self._families[topic], made.event) if made.event else None
        if list(values) != expected:
            self._differs(f"{_named(place)}: record {number}: expected {expected}, found {values}")

    def letter(self, place: Place, value: bytes | None) -> None:
        """A dead letter: the place and the value of its record. Once for each place."""
        self.verdict.dead_letters += 1
        topic, partition, offset = place
        _count(self._letters[topic, partition], offset)
        number = self._truth.number_at(*place)
        if number is None:
            if not self._truth.unknown:
                self.verdict.duplicated += 1
                self._differs(f"{_named(place)}: a dead letter where nothing was acknowledged")
            return
        made = self._recipe.record(number)
        if made.event is not None:
            self._differs(f"{_named(place)}: record {number} became a dead letter")
        elif value != made.value:
            self._differs(
                f"{_named(place)}: expected {made.value!r} in the letter, found {value!r}"
            )

    def close(self) -> Verdict:
        """All was told: what is missing, what is doubled, and what is both."""
        wrong: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
        for (topic, partition), offset, _ in self._truth.numbers():
            rows = _get(self._rows[topic, partition], offset)
            letters = _get(self._letters[topic, partition], offset)
            if rows + letters == 0:
                self.verdict.lost += 1
                wrong["lost", topic, partition].append(offset)
            if rows and letters:
                self.verdict.duplicated += 1
                wrong["row and dead letter", topic, partition].append(offset)
            if rows > 1:
                wrong["doubled", topic, partition].append(offset)
        for (what, topic, partition), offsets in wrong.items():
            for first, last in _spans(offsets):
                self._differs(f"{what}: {topic}/{partition}, offsets {first} to {last}")
        return self.verdict

    def _differs(self, sentence: str) -> None:
        if len(self.verdict.differences) < _MOST_DIFFERENCES:
            self.verdict.differences.append(sentence)


def tell(ledger: Ledger, rows: Iterable[tuple[Place, Sequence[str]]]) -> None:
    """Tell the ledger of many rows."""
    for place, values in rows:
        ledger.row(place, values)


def _named(place: Place) -> str:
    topic, partition, offset = place
    return f"{topic}/{partition} at {offset}"


def _count(counts: bytearray, index: int) -> int:
    """Count up to 255; how often so far."""
    if index >= len(counts):
        counts.extend(bytes(index + 1 - len(counts)))
    counts[index] = min(counts[index] + 1, 255)
    return counts[index]


def _get(counts: bytearray, index: int) -> int:
    return counts[index] if index < len(counts) else 0


def _spans(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of every run of consecutive numbers."""
    first = None
    for index, number in enumerate(numbers):
        first = number if first is None else first
        if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
            yield first, number
            first = None
