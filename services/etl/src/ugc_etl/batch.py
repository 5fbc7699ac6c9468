"""Where a batch begins and ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ugc_etl.records import Partition, Record

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
        """The age at which a batch is cut while this process owns so many partitions."""
        return max(self.max_age_ms / 1000, partitions / self.max_batches_per_s)


@dataclass(frozen=True, slots=True)
class Batch:
    """The records [start, end) of one partition, all of one month.

    Offsets in between may be missing: transaction markers and compaction take them.
    """

    partition: Partition
    records: tuple[Record, ...]
    value_bytes: int

    @property
    def start(self) -> int:
        """The offset of the first record."""
        return self.records[0].offset

    @property
    def end(self) -> int:
        """The offset behind the last record: what is committed when the batch is done."""
        return self.records[-1].offset + 1


class OpenBatch:
    """The batch of a partition that still grows."""

    def __init__(self, partition: Partition, policy: BatchPolicy) -> None:
        self._partition = partition
        self._policy = policy
        self._records: list[Record] = []
        self._opened_at_s = 0.0
        self._month = (0, 0)
        self.value_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, records: Iterable[Record], now_s: float) -> list[Batch]:
        """Take records, in the order of their offsets; the batches that they complete."""
        closed = []
        max_rows, max_bytes = self._policy.max_rows, self._policy.max_bytes
        for record in records:
            size = len(record.value) if record.value else 0
            if self._records and (
                not self._month[0] <= record.timestamp_ms < self._month[1]
                or self.value_bytes + size > max_bytes
            ):
                closed.append(self.close())
            if not self._records:
                self._opened_at_s = now_s
                self._month = month_of(record.timestamp_ms)
            self._records.append(record)
            self.value_bytes += size
            if len(self._records) >= max_rows or self.value_bytes >= max_bytes:
                closed.append(self.close())
        return closed

    def is_due(self, now_s: float, age_s: float) -> bool:
        """Whether it has records and is old enough to be closed."""
        return bool(self._records) and now_s - self._opened_at_s >= age_s

    def close(self) -> Batch:
        """Cut here. There must be records."""
        batch = Batch(self._partition, tuple(self._records), self.value_bytes)
        self._records = []
        self.value_bytes = 0
        return batch


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
