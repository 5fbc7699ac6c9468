"""Kafka in memory for the tests of the commands; it passes the same contract suite."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ugc_events import DeadLetter

from ugc_etl.operations.ports import Declared, LetterRecord, StoredRecord
from ugc_etl.ports import RefusedError
from ugc_etl.protocol.intent import Foreign, Mark
from ugc_etl.records import Partition


@dataclass
class MemoryKafkaLog:
    """Partitions, marks and dead letters in dicts.

    Attributes:
        logs: the records that are kept, by partition; offsets may be missing.
        starts: first kept offsets, where retention went on.
        ends: last stable offsets, where they are beyond the last record.
        committed: by group.
        letter_log: the dead-letter topic's one partition; None where it is not there.
        failures: raised first, one at each publication or withdrawal.
    """

    logs: dict[Partition, list[StoredRecord]] = field(default_factory=dict)
    starts: dict[Partition, int] = field(default_factory=dict)
    ends: dict[Partition, int] = field(default_factory=dict)
    committed: dict[str, dict[Partition, Mark | Foreign]] = field(default_factory=dict)
    letter_log: list[LetterRecord] | None = field(default_factory=list)
    failures: deque[Exception] = field(default_factory=deque)

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """Those that have a log."""
        return sorted(p for p in self.logs if p.topic in topics)

    def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """As `starts` and `ends` say, else of the records."""
        return {
            p: (
                self.starts.get(p, 0),
                self.ends.get(p, self.logs[p][-1].offset + 1 if self.logs[p] else 0),
            )
            for p in partitions
        }

    def at_time(self, partitions: Sequence[Partition], time_ms: int) -> Mapping[Partition, int]:
        """By the records' timestamps."""
        return {
            p: next(
                (r.offset for r in self.logs[p] if r.timestamp_ms >= time_ms),
                self.bounds([p])[p][1],
            )
            for p in partitions
        }

    def marks(
        self, group: str, partitions: Sequence[Partition]
    ) -> Mapping[Partition, Mark | Foreign]:
        """Those in `committed`."""
        known = self.committed.get(group, {})
        return {p: known[p] for p in partitions if p in known}

    def read(self, partition: Partition, start: int, end: int) -> Iterator[StoredRecord]:
        """The kept records."""
        first = max(start, self.starts.get(partition, 0))
        return (r for r in list(self.logs[partition]) if first <= r.offset < end)

    def letters(self, topic: str) -> Iterator[LetterRecord]:
        """All of them."""
        if self.letter_log is None:
            raise RefusedError(f"there is no topic {topic}")
        return iter(list(self.letter_log))

    def publish(self, topic: str, letters: Sequence[DeadLetter], keep_by_s: int) -> None:
        """Append them."""
        if self.failures:
            raise self.failures.popleft()
        for letter in letters:
            key, value, _ = letter.to_record()
            self._append(key, letter, len(value))

    def withdraw(self, topic: str, letters: Sequence[LetterRecord], keep_by_s: int) -> None:
        """Append null values."""
        if self.failures:
            raise self.failures.popleft()
        for letter in letters:
            self._append(letter.key, None, 0)

    def close(self) -> None:
        """Nothing is held."""

    def _append(self, key: bytes, letter: DeadLetter | None, size_bytes: int) -> None:
        log = self.letter_log = self.letter_log or []
        log.append(LetterRecord(0, len(log), key, letter, size_bytes))


@dataclass
class MemoryLease:
    """What all logs of one lease share.

    Attributes:
        last: what was declared last.
        epoch: of the log that fenced last.
    """

    last: Declared | None = None
    epoch: int = 0


class MemoryLeaseLog:
    """One command's log of a lease."""

    def __init__(self, lease: MemoryLease) -> None:
        self._lease = lease
        self._epoch = 0

    def declared(self) -> Declared | None:
        """The last one."""
        return self._lease.last

    def fence(self) -> None:
        """A new epoch."""
        self._lease.epoch += 1
        self._epoch = self._lease.epoch

    def declare(self, declared: Declared) -> None:
        """Of the newest epoch only."""
        if self._epoch != self._lease.epoch:
            raise RefusedError("another command has taken the lease")
        self._lease.last = declared
