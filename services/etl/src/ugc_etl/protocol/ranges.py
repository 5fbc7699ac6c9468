"""Sets of offsets as half-open ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of offsets. `parts` are sorted, apart from each other and not empty: use `of`."""

    parts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, parts: Iterable[tuple[int, int]]) -> Ranges:
        """The union of [start, end) ranges in any order; empty ones count for nothing."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted(part for part in parts if part[0] < part[1]):
            if joined and start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(joined[-1][1], end)
            else:
                joined.append((start, end))
        return cls(tuple(joined))

    @classmethod
    def of_offsets(cls, offsets: Iterable[int]) -> Ranges:
        """The set of these offsets."""
        return cls.of((offset, offset + 1) for offset in offsets)

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __contains__(self, offset: int) -> bool:
        return any(start <= offset < end for start, end in self.parts)

    @property
    def end(self) -> int:
        """The offset behind the last one; 0 for no offset."""
        return self.parts[-1][1] if self.parts else 0

    def within(self, start: int, end: int) -> Ranges:
        """Those in [start, end)."""
        return Ranges.of((max(s, start), min(e, end)) for s, e in self.parts)

    def missing(self, start: int, end: int) -> Ranges:
        """What [start, end) has and this set has not."""
        return Ranges(tuple(self._gaps(start, end)))

    def _gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for covered_start, covered_end in self.within(start, end).parts:
            if start < covered_start:
                yield start, covered_start
            start = covered_end
        if start < end:
            yield start, end
