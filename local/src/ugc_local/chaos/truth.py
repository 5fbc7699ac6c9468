"""What was acknowledged: the number of the record at every place, and when it was."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

TopicPartition = tuple[str, int]

_HOLE = -1


@dataclass(slots=True)
class _Places:
    """By offset. A hole is a place whose record was not acknowledged."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    at_s: array[float] = field(default_factory=lambda: array("d"))

    def put(self, offset: int, number: int, now_s: float) -> None:
        missing = offset + 1 - len(self.numbers)
        if missing > 0:
            self.numbers.extend([_HOLE] * missing)
            self.at_s.extend([math.inf] * missing)
        self.numbers[offset] = number
        self.at_s[offset] = now_s


class Truth:
    """Filled by one thread; others may read it meanwhile.

    Attributes:
        acknowledged: how many records have a place.
        unknown: numbers of records that may be in Kafka or not.
    """

    def __init__(self) -> None:
        self.acknowledged = 0
        self.unknown: set[int] = set()
        self._places: defaultdict[TopicPartition, _Places] = defaultdict(_Places)

    def put(self, number: int, place: tuple[str, int, int] | None, now_s: float) -> None:
        """The outcome of writing a record: (topic, partition, offset), or None for unknown."""
        if place is None:
            self.unknown.add(number)
            return
        topic, partition, offset = place
        self._places[topic, partition].put(offset, number, now_s)
        self.acknowledged += 1

    def partitions(self) -> list[TopicPartition]:
        """Those with an acknowledged record."""
        return sorted(self._places)

    def number_at(self, topic: str, partition: int, offset: int) -> int | None:
        """The number of the record there; None where none was acknowledged."""
        places = self._places.get((topic, partition))
        if places is None or offset >= len(places.numbers):
            return None
        number = places.numbers[offset]
        return None if number == _HOLE else number

    def numbers(self) -> Iterator[tuple[TopicPartition, int, int]]:
        """(topic and partition), offset, number of every acknowledged record."""
        for key in self.partitions():
            for offset, number in enumerate(self._places[key].numbers):
                if number != _HOLE:
                    yield key, offset, number

    def lag_s(self, positions: Mapping[TopicPartition, int], now_s: float) -> float:
        """How long the oldest record has waited that is at or behind its partition's position."""
        oldest_s = now_s
        for key, places in list(self._places.items()):
            position = positions.get(key, 0)
            oldest_s = min(
                oldest_s, places.at_s[position] if position < len(places.at_s) else now_s
            )
        return now_s - oldest_s
