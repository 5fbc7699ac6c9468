"""Where a batch begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from ugc_events import DeadLetter

from ugc_etl.decode import Decoded, cut
from ugc_etl.records import Partition
from ugc_etl.row_table import Rows

MAX_BATCH_ROWS = 1_000_000
"""An INSERT above about a million rows becomes several parts, and is no longer whole or absent."""

_LAST_MONTH_MS = 253_370_764_800_000  # 9999-01-01: what lies beyond has no month of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """When a batch is cut.

    Attributes:
        max_rows: records in a batch, at the most.
        max_bytes: of the records' values; a single larger record is a batch by itself.
        max_age_ms: since the batch's first record was read, when the partitions are few.
        max_batches_per_s: of the whole process. Small inserts cost the server most, so batches
            grow older as partitions multiply.
    """

    max_rows: int = 20_000
    max_bytes: int = 8 * 1024 * 1024
    max_age_ms: int = 500
    max_batches_per_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse limits that no batch can keep."""
        if not 1 <= self.max_rows <= MAX_BATCH_ROWS:
            raise ValueError(f"a batch has 1 to {MAX_BATCH_ROWS} rows, not {self.max_rows}")
        if min(self.max_bytes, self.max_age_ms, self.max_batches_per_s) <= 0:
            raise ValueError("the limits of a batch are above zero")

    def age_s(self, partitions: int) -> float:
        """The age at which a batch is cut while so many partitions have records."""
        return max(self.max_age_ms / 1000, partitions / self.max_batches_per_s)


@dataclass(frozen=True, slots=True)
class Batch:
    """The records [start, end) of one partition, all of one month, each a row or a dead letter.

    Offsets in between may be missing: transaction markers and compaction take them.

    Attributes:
        partition: whose.
        start: the offset of the first record.
        end: the offset behind the last record: what is committed when the batch is done.
        records: how many there are.
        value_bytes: of the records' values, as they were read.
        held_bytes: about what the batch takes in memory.
        rows: in the order of their offsets.
        dead_letters: the same.
    """

    partition: Partition
    start: int
    end: int
    records: int
    value_bytes: int
    held_bytes: int
    rows: Rows
    dead_letters: Sequence[DeadLetter]

    def __len__(self) -> int:
        return self.records

    def between(self, start: int, end: int) -> Batch:
        """The part of the batch at the offsets [start, end), within its own."""
        rows, dead_letters = cut(self.rows, self.dead_letters, start, end)
        records = len(rows) + len(dead_letters)
        share = records / self.records
        return Batch(
            self.partition,
            start,
            end,
            records,
            round(self.value_bytes * share),
            round(self.held_bytes * share),
            rows,
            dead_letters,
        )


class OpenBatch:
    """The batch of a partition that still grows."""

    def __init__(self, partition: Partition, policy: BatchPolicy) -> None:
        self._partition = partition
        self._policy = policy
        self._parts: list[Decoded] = []
        self._opened_at_s = 0.0
        self._month = (0, 0)
        self._records = 0
        self._value_bytes = 0
        self.held_bytes = 0

    def __len__(self) -> int:
        return self._records

    def add(self, decoded: Decoded, now_s: float) -> list[Batch]:
        """Take records, in the order of their offsets; the batches that they complete."""
        closed = []
        first = 0
        while first < len(decoded):
            if not self._records:
                self._opened_at_s = now_s
                self._month = month_of(int(decoded.places["timestamp_ms"][first]))
            last = first + self._room(decoded, first)
            if last > first:
                self._append(decoded.between(first, last))
            full = (
                self._records >= self._policy.max_rows
                or self._value_bytes >= self._policy.max_bytes
            )
            if full or last < len(decoded):
                closed.append(self.close())
            first = last
        return closed

    def is_due(self, now_s: float, age_s: float) -> bool:
        """Whether it has records and is old enough to be closed."""
        return bool(self._records) and now_s - self._opened_at_s >= age_s

    def close(self) -> Batch:
        """Cut here. There must be records."""
        parts = self._parts
        batch = Batch(
            self._partition,
            int(parts[0].places["offset"][0]),
            int(parts[-1].places["offset"][-1]) + 1,
            self._records,
            self._value_bytes,
            self.held_bytes,
            Rows.joined([part.rows for part in parts]),
            [letter for part in parts for letter in part.dead_letters],
        )
        self._parts = []
        self._records = self._value_bytes = self.held_bytes = 0
        return batch

    def _room(self, decoded: Decoded, first: int) -> int:
        """How many records from `first` on still belong to this batch."""
        places = decoded.places[first : first + self._policy.max_rows - self._records]
        low, high = self._month
        times_ms, sizes = places["timestamp_ms"], places["value_bytes"]
        month_ends = fit = len(places)
        # With many partitions a poll has little for each: most often all of it fits.
        if times_ms.min() < low or times_ms.max() >= high:
            month_ends = int(((times_ms < low) | (times_ms >= high)).argmax())
        bytes_left = self._policy.max_bytes - self._value_bytes
        if sizes.sum() > bytes_left:
            fit = int(np.searchsorted(np.cumsum(sizes), bytes_left, "right"))
        # A single record that is larger is a batch by itself.
        return min(month_ends, fit or (0 if self._records else 1))

    def _append(self, part: Decoded) -> None:
        self._parts.append(part)
        self._records += len(part)
        self._value_bytes += int(part.places["value_bytes"].sum())
        self.held_bytes += int(part.places["held_bytes"].sum())


def month_of(timestamp_ms: int) -> tuple[int, int]:
    """The calendar month (UTC) of a time: its first millisecond, and that of the next month.

    Times that no calendar holds are of one month with all others on their side.
    """
    if timestamp_ms < 0:
        return -(2**63), 0
    if timestamp_ms >= _LAST_MONTH_MS:
        return _LAST_MONTH_MS, 2**63
    at = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    following = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return (
        _first_ms(at.year, at.month),
        min(_first_ms(*following), _LAST_MONTH_MS),
    )


def _first_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000
