"""Stores in memory that keep the promises of the ports. Tests and simulations run on them.

They pass the same contract suites as the real adapters, and can be told to fail.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from ugc_events import DeadLetter
from ugc_events.dead_letters import Headers

from ugc_etl.native_block import Block
from ugc_etl.ports import AssignmentListener, Mark
from ugc_etl.records import KeyAndHeaders, Partition, Records


class StoredRecord(NamedTuple):
    """A record as `MemorySource` keeps it."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


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
        """Everything that is there; never waits."""
        taken = []
        for partition, position in self._positions.items():
            log = self.logs.get(partition, [])
            if partition not in self.paused and position < len(log):
                taken.append(records_of(partition, log[position:]))
                self._positions[partition] = len(log)
        return taken

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop reading these."""
        self.paused |= set(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read these again."""
        self.paused -= set(partitions)

    def earliest(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Zero, unless `first_offsets` says otherwise."""
        return {p: self.first_offsets.get(p, 0) for p in partitions}

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
    """Marks in a dict. `failures` are raised first, one at each call."""

    recorded: dict[Partition, Mark] = field(default_factory=dict)
    failures: deque[Exception] = field(default_factory=deque)

    def marks(self, partitions: Sequence[Partition]) -> Mapping[Partition, Mark]:
        """Those recorded."""
        if self.failures:
            raise self.failures.popleft()
        return {p: self.recorded[p] for p in partitions if p in self.recorded}

    def record(self, marks: Sequence[Mark]) -> None:
        """Record all."""
        if self.failures:
            raise self.failures.popleft()
        self.recorded |= {mark.partition: mark for mark in marks}


@dataclass
class MemoryTables:
    """Blocks by table, each token once.

    Attributes:
        inserted: (table, token, block) that changed something, in order.
        sent: (table, token, block) of every call that arrived, repetitions and refused ones too.
        failures: raised one at each call, before the insert lands.
        late_failures: raised one at each call, after the insert has landed.
        clock_s: what `now_s` says.
    """

    inserted: list[tuple[str, str, Block]] = field(default_factory=list)
    sent: list[tuple[str, str, Block]] = field(default_factory=list)
    failures: deque[Exception] = field(default_factory=deque)
    late_failures: deque[Exception] = field(default_factory=deque)
    clock_s: float = 1_800_000_000.0
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
            if (table, token) not in {(known[0], known[1]) for known in self.inserted}:
                self.inserted.append((table, token, block))
            if self.late_failures:
                raise self.late_failures.popleft()

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class MemoryDeadLetters:
    """Letters by place. `failures` are raised first, one at each call."""

    letters: dict[tuple[str, int, int], DeadLetter] = field(default_factory=dict)
    failures: deque[Exception] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Keep all."""
        with self._lock:
            if self.failures:
                raise self.failures.popleft()
            self.letters |= {(x.topic_id, x.partition, x.offset): x for x in letters}

    def close(self) -> None:
        """Nothing is held."""
