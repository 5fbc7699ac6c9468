"""Records that are read from Kafka once more, and what becomes of each: the tools' second look.

Records are taken in windows of offsets, each of one month, so that every repetition makes the same
blocks: one block is one part, there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import numpy as np
from ugc_events import DeadLetter, Family
from ugc_events.dead_letters import Headers

from ugc_etl.batch import month_of
from ugc_etl.decode import Decoder
from ugc_etl.operations.lease import Lease
from ugc_etl.operations.ports import KafkaLog, Sql, StoredRecord
from ugc_etl.operations.reading import kept_records
from ugc_etl.operations.rows_once import ErasedList, Pace, RowsOnce
from ugc_etl.ports import RefusedError
from ugc_etl.protocol.intent import Mark
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.pseudonym import viewers
from ugc_etl.records import KeyAndHeaders, Partition, Records
from ugc_etl.row_table import Rows
from ugc_etl.schema import Deployment

WINDOW = 10_000
"""Offsets of a window."""
_WINDOW_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """A window's records, each in one of the three.

    Attributes:
        partition, start, end: the offsets from its first record to behind its last.
        rows: of the records that can be taken.
        letters: of those that cannot.
        erased: offsets of those that are of erased viewers, or in the ledger already.
        until_s: what is inserted of it lands up to then; declared before it was looked at.
    """

    partition: Partition
    start: int
    end: int
    rows: Rows
    letters: Sequence[DeadLetter]
    erased: frozenset[int]
    until_s: int

    def __len__(self) -> int:
        return len(self.rows) + len(self.letters) + len(self.erased)

    @property
    def place(self) -> str:
        """Names the insert of its rows."""
        return f"{self.start}-{self.end}"

    def without(self, offsets: set[int]) -> Piece:
        """The same without the rows at these offsets."""
        keep = ~np.isin(self.rows["_offset"], np.array(sorted(offsets), np.uint64))
        return replace(self, rows=self.rows.where(keep))


@dataclass(frozen=True, slots=True)
class Rereader:
    """Reads one family's records again, below what `group` has committed."""

    kafka: KafkaLog
    group: str
    sql: Sql
    deployment: Deployment
    family: Family
    erased: ErasedList
    pseudonym_key: bytes
    now_ms: int
    lease: Lease

    def pieces(self, partition: Partition, wanted: Ranges) -> Iterator[Piece]:
        """Every record of the wanted offsets that Kafka keeps, in order.

        Raises RefusedError where a record is not below the committed offset any more: it was set
        back, and a consumer is about to do the same work; or where the lease is another's.
        """
        decoder = Decoder(self.family)
        for records in _windows(kept_records(self.kafka, partition, wanted)):
            yield self._piece(decoder, partition, records)

    def _piece(
        self, decoder: Decoder, partition: Partition, records: Sequence[StoredRecord]
    ) -> Piece:
        until_s = self.lease.until_s()
        decoded = decoder.decode(records_of(partition, records), self.now_ms)[partition]
        start, end = records[0].offset, records[-1].offset + 1
        mark = self.kafka.marks(self.group, [partition]).get(partition)
        if not isinstance(mark, Mark) or mark.topic_id != partition.topic_id or mark.offset < end:
            raise RefusedError(
                f"the committed offset of {partition} is not behind {end - 1:,} any more: the"
                " consumers work there. Wait until they are through, and repeat the command"
            )
        ledger = self._ledger(partition, start, end)
        of_erased = self.erased.now().mask(
            viewers(decoded.rows["user_id"], self.pseudonym_key), decoded.rows["_timestamp"]
        )
        offsets = decoded.rows["_offset"]
        gone = of_erased | np.isin(offsets, np.array(sorted(ledger), np.uint64))
        letters = [letter for letter in decoded.dead_letters if letter.offset not in ledger]
        erased = {int(offset) for offset in offsets[gone]}
        erased |= {letter.offset for letter in decoded.dead_letters if letter.offset in ledger}
        rows = decoded.rows.where(~gone)
        return Piece(partition, start, end, rows, letters, frozenset(erased), until_s)

    def _ledger(self, partition: Partition, start: int, end: int) -> set[int]:
        rows = self.sql.execute(
            f"SELECT DISTINCT offset FROM {self.deployment.table('erased_places')}"
            f" WHERE topic_id = toUUID('{UUID(partition.topic_id)}')"
            f" AND partition = {partition.number} AND offset >= {start} AND offset < {end}"
        )
        return {int(offset) for (offset,) in rows}


@dataclass(frozen=True, slots=True)
class Rework:
    """What it takes to read one family's records again and to insert what is not there.

    Attributes:
        letters_topic: of the dead letters, with the deployment's prefix.
        pace: of the inserts.
        on_progress: is told in words what goes on.
    """

    kafka: KafkaLog
    sql: Sql
    deployment: Deployment
    family: Family
    letters_topic: str
    rereader: Rereader
    rows: RowsOnce
    lease: Lease
    pace: Pace
    on_progress: Callable[[str], None]


def _windows(records: Iterable[StoredRecord]) -> Iterator[list[StoredRecord]]:
    window: list[StoredRecord] = []
    size_bytes = 0
    month = (0, 0)
    for record in records:
        value_bytes = len(record.value or b"")
        if window and (
            record.offset // WINDOW != window[0].offset // WINDOW
            or not month[0] <= record.timestamp_ms < month[1]
            or size_bytes + value_bytes > _WINDOW_BYTES
        ):
            yield window
            window, size_bytes = [], 0
        if not window:
            month = month_of(record.timestamp_ms)
        window.append(record)
        size_bytes += value_bytes
    if window:
        yield window


class _Recorded(Protocol):
    @property
    def offset(self) -> int: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


def records_of(partition: Partition, recorded: Sequence[_Recorded]) -> Records:
    """Records of one partition, for a decoder."""
    return Records(
        partitions=[partition],
        owners=np.zeros(len(recorded), np.intp),
        offsets=np.array([record.offset for record in recorded], np.int64),
        timestamps_ms=np.array([record.timestamp_ms for record in recorded], np.int64),
        values=[record.value for record in recorded],
        key_and_headers=lambda place: KeyAndHeaders(recorded[place].key, recorded[place].headers),
    )
