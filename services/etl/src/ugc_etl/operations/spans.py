"""What `Ranges` of offsets lack for the operators' commands."""

from __future__ import annotations

from collections.abc import Iterator

from ugc_etl.protocol.ranges import Ranges


def without(these: Ranges, others: Ranges) -> Ranges:
    """Those offsets that the others have not."""
    left: list[tuple[int, int]] = []
    rest = iter(others.parts)
    other = next(rest, None)
    for start, end in these.parts:
        at = start
        while other is not None and other[0] < end:
            left.append((at, other[0]))
            at = max(at, other[1])
            if at >= end:
                break
            other = next(rest, None)
        left.append((at, end))
    return Ranges.of(left)


def neighbours(ranges: Ranges, apart: int = 10_000) -> Iterator[Ranges]:
    """Groups of ranges with fewer than `apart` offsets in between: each to be read in one go."""
    group: list[tuple[int, int]] = []
    for start, end in ranges.parts:
        if group and start - group[-1][1] >= apart:
            yield Ranges(tuple(group))
            group = []
        group.append((start, end))
    if group:
        yield Ranges(tuple(group))


def size(ranges: Ranges) -> int:
    """How many offsets."""
    return sum(end - start for start, end in ranges.parts)


def told(ranges: Ranges, most: int = 20) -> str:
    """For people: the ranges, the last ones left out where there are many."""
    parts = [
        f"{start:,}" if end == start + 1 else f"{start:,} to {end - 1:,}"
        for start, end in ranges.parts[:most]
    ]
    more = len(ranges.parts) - most
    count = size(ranges)
    return (
        ", ".join(parts)
        + (f" and {more:,} more ranges" if more > 0 else "")
        + (f" ({count:,} offsets)" if count > 1 else "")
    )
