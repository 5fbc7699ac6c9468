"""Stores in memory that keep the promises of the ports. Tests and simulations run on them.

They pass the same contract suites as the real adapters, and can be told to fail.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from ugc_events import DeadLetter, Family

from ugc_etl.erasure import ErasedViewers
from ugc_etl.letters import refused_letter
from ugc_etl.native_block import Block
from ugc_etl.operations.ports import StoredRecord
from ugc_etl.ports import AssignmentListener, TooLateError
from ugc_etl.protocol import Foreign, Mark, Ranges, decode_metadata, encode_metadata, insert_token
from ugc_etl.protocol.actions import ReadBack, Survey
from ugc_etl.protocol.facts import Evidence, Surveyed
from ugc_etl.records import KeyAndHeaders, Partition, Records


def records_of(partition: Partition, stored: Sequence[StoredRecord]) -> Records:
    """Records of one partition, as a source gives them."""
    return Records(
        partitions=[partition],
        owners=np.zeros(len(stored), np.intp),
        offsets=np.array([record.offset for record in stored], np.int64),
        timestamps_ms=np.array([record.timestamp_ms for record in stored], np.int64),
        values=[record.value for record in stored],
        key_and_headers=lambda place: KeyAndHeaders(stored[place].key, stored[place].headers),
    )


class MemorySource:
    """Partitions in memory; the test says which are assigned, revoked or lost."""

    def __init__(self, topics: Mapping[str, bool] | None = None) -> None:
        """`topics`: by name, whether it is there."""
        self.topics = dict(topics or {})
        self.logs: dict[Partition, list[StoredRecord]] = {}
        self.paused: set[Partition] = set()
        self.first_offsets: dict[Partition, int] = {}
        self.poll_max_records: int | None = None
        self._positions: dict[Partition, int] = {}
        self._listener: AssignmentListener | None = None

    def append(self, partition: Partition, values: Iterable[tuple[int, bytes | None]]) -> None:
        """Append records of (timestamp in ms, value)."""
        records = self.logs.setdefault(partition, [])
        for timestamp_ms, value in values:
            records.append(StoredRecord(len(records), timestamp_ms, None, value, ()))

    def assign(self, *partitions: Partition) -> None:
        """What a rebalance does when it gives partitions."""
        if self._listener is not None:
            self._positions |= self._listener.assigned(partitions)

    def revoke(self, *partitions: Partition) -> None:
        """What a rebalance does when it takes partitions."""
        if self._listener is not None:
            self._listener.revoked(partitions)
        self._forget(partitions)

    def lose(self, *partitions: Partition) -> None:
        """What a member hears that was too late."""
        self._forget(partitions)
        if self._listener is not None:
            self._listener.lost(partitions)

    def rewind(self, partition: Partition, offset: int) -> None:
        """Read again from `offset`, as no source should."""
        self._positions[partition] = offset

    def missing_topics(self) -> list[str]:
        """Those that are said not to be there."""
        return [topic for topic, there in self.topics.items() if not there]

    def subscribe(self, listener: AssignmentListener) -> None:
        """Remember the listener."""
        self._listener = listener

    def poll(self, timeout_s: float) -> Sequence[Records]:
        """What is there, of each partition `poll_max_records` at the most; never waits."""
        taken = []
        for partition, position in self._positions.items():
            end = None if self.poll_max_records is None else position + self.poll_max_records
            stored = self.logs.get(partition, [])[position:end]
            if partition not in self.paused and stored:
                taken.append(records_of(partition, stored))
                self._positions[partition] = position + len(stored)
        return taken

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop reading these."""
        self.paused |= set(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read these again."""
        self.paused -= set(partitions)

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        """From zero, unless `first_offsets` says otherwise, to the true end."""
        return {p: (self.first_offsets.get(p, 0), len(self.logs.get(p, []))) for p in partitions}

    def ends(self) -> Mapping[Partition, int]:
        """The true ends."""
        return {p: len(self.logs.get(p, [])) for p in self._positions}

    def close(self) -> None:
        """Give up what is owned."""
        self.revoke(*self._positions)
        self._listener = None

    def _forget(self, partitions: Iterable[Partition]) -> None:
        for partition in list(partitions):
            self._positions.pop(partition, None)
            self.paused.discard(partition)


@dataclass
class MemoryOffsetLog:
    """Marks in a dict, as Kafka keeps them. `failures` are raised first, one at each call."""

    recorded: dict[Partition, tuple[int, str]] = field(default_factory=dict)
    failures: deque[Exception] = field(default_factory=deque)

    def marks(self, partitions: Sequence[Partition]) -> Mapping[Partition, Mark | Foreign]:
        """Those recorded."""
        if self.failures:
            raise self.failures.popleft()
        return {p: decode_metadata(*self.recorded[p]) for p in partitions if p in self.recorded}

    def record(self, marks: Mapping[Partition, Mark]) -> None:
        """Record all."""
        if self.failures:
            raise self.failures.popleft()
        self.recorded |= {p: (mark.offset, encode_metadata(mark)) for p, mark in marks.items()}


@dataclass
class MemoryTables:
    """Blocks by table, each token once; the marts are counted only.

    Attributes:
        inserted: (table, token, block) that changed something, in order.
        sent: (table, token, block) of every call that arrived, repetitions and refused ones too.
        failures: raised one at each insert, before it lands.
        late_failures: raised one at each insert, after it has landed.
        answers: raised one at each question.
        running: tokens of inserts that run.
        rebuilt: (topic id, partition, start, end) whose marts were made again.
        ledger: (topic id, partition, offset).
        erased: the list.
        clock_s: what `now_s` says.
        refuses_late: whether blocks after their deadline are refused, as by the constraint.
    """

    inserted: list[tuple[str, str, Block]] = field(default_factory=list)
    sent: list[tuple[str, str, Block]] = field(default_factory=list)
    failures: deque[Exception] = field(default_factory=deque)
    late_failures: deque[Exception] = field(default_factory=deque)
    answers: deque[Exception] = field(default_factory=deque)
    running: list[str] = field(default_factory=list)
    rebuilt: list[tuple[str, int, int, int]] = field(default_factory=list)
    ledger: set[tuple[str, int, int]] = field(default_factory=set)
    erased: ErasedViewers = ErasedViewers.NONE
    clock_s: float = 1_800_000_000.0
    refuses_late: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now_s(self) -> float:
        """The clock."""
        return self.clock_s

    def insert(self, table: str, block: Block, token: str) -> None:
        """Keep the block, unless its token is known."""
        with self._lock:
            self.sent.append((table, token, block))
            if self.failures:
                raise self.failures.popleft()
            if self.refuses_late and _numbers(block, "_insert_by")[0] < int(self.clock_s):
                raise TooLateError("in_time")
            if (table, token) not in {(known[0], known[1]) for known in self.inserted}:
                self.inserted.append((table, token, block))
            if self.late_failures:
                raise self.late_failures.popleft()

    def read_back(self, family: Family, partition: Partition, asked: ReadBack) -> Evidence:
        """From the tokens and the blocks."""
        self._answer()
        own = 0
        others = False
        for token, block in self._blocks_of(partition):
            rows = _numbers(block, "_offset") >= asked.offset
            if asked.intent is not None and token == insert_token(partition, asked.intent):
                own += int(rows.sum())
            else:
                others |= bool(rows.any())
        return Evidence(
            server_now_s=self.clock_s, running=self._runs(partition), rows=own, others=others
        )

    def survey(
        self, family: Family, partition: Partition, asked: Survey, letters: Callable[[], Ranges]
    ) -> Surveyed:
        """From the letters, the blocks and the ledger."""
        self._answer()
        running = self._runs(partition)
        places = list(letters().parts)
        attempt = -1
        for token, block in self._blocks_of(partition):
            offsets = [int(o) for o in _numbers(block, "_offset") if o >= asked.start]
            places += [(offset, offset + 1) for offset in offsets]
            attempt = max(attempt, int(token.rsplit(":", 1)[1])) if offsets else attempt
        places += [
            (offset, offset + 1)
            for topic_id, number, offset in self.ledger
            if (topic_id, number) == partition[1:] and offset >= asked.start
        ]
        return Surveyed(
            server_now_s=self.clock_s,
            running=running,
            covered=Ranges.of(places),
            attempt=attempt,
        )

    def cancel(self, partition: Partition, generation: int) -> None:
        """Forget what runs."""
        self._answer()
        self.running = [t for t in self.running if not _is_of(t, partition)]

    def rebuild_marts(self, family: Family, partition: Partition, start: int, end: int) -> None:
        """Count it."""
        self._answer()
        self.rebuilt.append((partition.topic_id, partition.number, start, end))

    def erased_viewers(self, shard: int) -> ErasedViewers:
        """The list."""
        self._answer()
        return self.erased

    def enter_ledger(self, shard: int, partition: Partition, offsets: Sequence[int]) -> None:
        """Add to the set."""
        self._answer()
        self.ledger |= {(partition.topic_id, partition.number, offset) for offset in offsets}

    def _answer(self) -> None:
        if self.answers:
            raise self.answers.popleft()

    def _runs(self, partition: Partition) -> bool:
        return any(_is_of(token, partition) for token in self.running)

    def _blocks_of(self, partition: Partition) -> list[tuple[str, Block]]:
        return [(t, block) for _, t, block in self.inserted if _is_of(t, partition)]


def _is_of(token: str, partition: Partition) -> bool:
    return token.startswith(f"{partition.topic_id}:{partition.number}:")


def _numbers(block: Block, name: str) -> npt.NDArray[np.int64]:
    """A column of a block as numbers; of a table without it, times that never pass."""
    for column in block.columns:
        if column.name == name:
            width = {"UInt64": "<u8", "DateTime": "<u4"}[column.type]
            return np.frombuffer(column.data, width).astype(np.int64)
    return np.full(block.rows, 2**62, np.int64)


@dataclass
class MemoryDeadLetters:
    """Letters by place. `failures` are raised first, one at each call."""

    letters: dict[tuple[str, int, int], DeadLetter] = field(default_factory=dict)
    failures: deque[Exception] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, letters: Sequence[DeadLetter], keep_by_s: int) -> None:
        """Keep all."""
        with self._lock:
            if self.failures:
                raise self.failures.popleft()
            self.letters |= {(x.topic_id, x.partition, x.offset): x for x in letters}

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class MemoryLetterBox:
    """Reads what `MemoryDeadLetters` and `MemorySource` keep."""

    dead_letters: MemoryDeadLetters
    source: MemorySource

    def places(self, partition: Partition, start: int) -> Ranges:
        """The keys."""
        return Ranges.of_offsets(
            offset
            for topic_id, number, offset in self.dead_letters.letters
            if (topic_id, number) == partition[1:] and offset >= start
        )

    def letter(self, partition: Partition, offset: int, detail: str) -> DeadLetter | None:
        """The record as a letter."""
        for record in self.source.logs.get(partition, []):
            if record.offset == offset:
                return refused_letter(partition, record, detail, 0)
        return None
