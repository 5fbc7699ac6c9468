"""How fresh a row is when a query first sees it, measured from outside.

A sampler asks the raw tables, a few times a second, up to which offset each partition is visible.
Afterwards every row is given the moment of the first sample that saw it. A figure is therefore
late by up to one sampling interval, never early.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Place: TypeAlias = tuple[str, int]
"""A raw table and a Kafka partition."""
Sample: TypeAlias = Mapping[Place, int]
"""The greatest visible offset by place."""


def _numbers() -> array[int]:
    return array("q")


@dataclass
class Sightings:
    """For each place, when which offset was first seen; both ascending.

    Sixteen bytes a sample and place: a quarter of an hour of samples is under a megabyte.
    """

    seen_at_ms: dict[Place, array[int]] = field(default_factory=lambda: defaultdict(_numbers))
    offsets: dict[Place, array[int]] = field(default_factory=lambda: defaultdict(_numbers))

    def record(self, sample: Sample, now_ms: int) -> None:
        """Add a sample; places that have not moved cost nothing."""
        for place, offset in sample.items():
            known = self.offsets[place]
            if not known or offset > known[-1]:
                known.append(offset)
                self.seen_at_ms[place].append(now_ms)

    def first_seen_ms(self, place: Place, offset: int) -> int | None:
        """When a row was first seen; None where no sample saw it."""
        index = bisect_left(self.offsets[place], offset)
        seen = self.seen_at_ms[place]
        return seen[index] if index < len(seen) else None


class Delays:
    """Delays in a histogram of fixed size: 10 ms to a bin, the last bin open."""

    BIN_MS = 10
    BINS = 60_000

    def __init__(self) -> None:
        self._counts = [0] * self.BINS
        self.count = 0

    def add(self, delay_ms: int) -> None:
        """Count one delay."""
        self._counts[min(max(delay_ms, 0) // self.BIN_MS, self.BINS - 1)] += 1
        self.count += 1

    def quantile_s(self, q: float) -> float | None:
        """The upper edge of the bin that holds the quantile, in seconds; None without delays."""
        rank, passed = q * self.count, 0
        for index, count in enumerate(self._counts):
            passed += count
            if count and passed >= rank:
                return (index + 1) * self.BIN_MS / 1000
        return None


def delays(rows: Iterable[tuple[Place, int, int]], sightings: Sightings) -> Delays:
    """The delay of every row, given as (place, offset, received_at in ms)."""
    found = Delays()
    for place, offset, received_at_ms in rows:
        seen_ms = sightings.first_seen_ms(place, offset)
        if seen_ms is not None:
            found.add(seen_ms - received_at_ms)
    return found


class Sampler:
    """Samples in a thread of its own, from `start` to `stop`.

    An error of `sample` ends the sampling and is raised by `stop`.
    """

    def __init__(self, sample: Callable[[], Sample], interval_s: float = 0.25) -> None:
        self.sightings = Sightings()
        self._sample = sample
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def require_running(self) -> None:
        """Raise what ended the sampling, if anything did."""
        if self._error is not None:
            raise self._error

    def stop(self) -> Sightings:
        """Take a last sample, end the thread, return what was seen."""
        self._stop.set()
        self._thread.join()
        self.require_running()
        return self.sightings

    def _run(self) -> None:
        try:
            stopping = False
            while not stopping:
                stopping = self._stop.wait(self._interval_s)
                sample = self._sample()
                self.sightings.record(sample, int(time.time() * 1000))
        except (OSError, RuntimeError, ValueError) as error:
            self._error = error
