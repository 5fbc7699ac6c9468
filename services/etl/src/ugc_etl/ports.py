"""What the pipeline needs of the world, and the errors it can act on.

Errors are named by what the caller does next. Adapters wrap what their drivers raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ugc_events import DeadLetter, Family

from ugc_etl.erasure import ErasedViewers
from ugc_etl.native_block import Block
from ugc_etl.protocol import Foreign, Mark, Ranges
from ugc_etl.protocol.actions import ReadBack, Survey
from ugc_etl.protocol.facts import Evidence, Surveyed
from ugc_etl.records import Partition, Records


class OutcomeUnknownError(Exception):
    """It may have happened or not: do the same again, later."""


class RefusedError(Exception):
    """The answer is no and will stay no: stop, say why, and let a person look."""


class DataRefusedError(RefusedError):
    """Something is wrong with the rows themselves: settle the insert, then find the rows."""


class TooLateError(RefusedError):
    """The deadline has passed: settle the insert."""


class AssignmentListener(Protocol):
    """Hears, from within `Source.poll` or `Source.close`, which partitions are ours."""

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Partitions are ours from now on, none paused; returns the offset to read each from."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Partitions go to another owner when this returns; until then they are ours."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Partitions are no longer ours, and may be another's already."""


class Source(Protocol):
    """Reads the topics of the families. Used by one thread only."""

    def missing_topics(self) -> list[str]:
        """The topics that are wanted and not there. Raises OutcomeUnknownError."""

    def subscribe(self, listener: AssignmentListener) -> None:
        """Begin to take part in the assignment of partitions."""

    def poll(self, timeout_s: float) -> Sequence[Records]:
        """The next records, by topic; empty after `timeout_s` without any.

        Raises RefusedError where reading cannot go on.
        """

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop reading these; they stay ours."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read these again, from where reading stopped."""

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        """The first offset that each partition still has, and the one behind its last stable one.

        Raises OutcomeUnknownError.
        """

    def ends(self) -> Mapping[Partition, int]:
        """The end of each owned partition as last heard of; some seconds old, perhaps empty."""

    def close(self) -> None:
        """Give up what is owned (the listener hears of it) and leave."""


class OffsetLog(Protocol):
    """Remembers, for every partition, how far it is done. Used by one thread only."""

    def marks(self, partitions: Sequence[Partition]) -> Mapping[Partition, Mark | Foreign]:
        """The marks of those partitions that have one. Raises OutcomeUnknownError."""

    def record(self, marks: Mapping[Partition, Mark]) -> None:
        """Record all marks, durably.

        Raises OutcomeUnknownError: recording them again is harmless. A partition that is no
        longer ours gives that too; `AssignmentListener.lost` tells it apart.
        """


class SinkClock(Protocol):
    """The sink's own clock."""

    def now_s(self) -> float:
        """Seconds since the epoch; asks nobody."""


class TableWriter(Protocol):
    """Inserts blocks into one shard. May be used by several threads at once."""

    def insert(self, table: str, block: Block, token: str) -> None:
        """Insert the block whole into `table`; returns when the sink has acknowledged it.

        A block whose token the sink has seen changes nothing. Raises OutcomeUnknownError,
        TooLateError, DataRefusedError, and RefusedError for any other no. None of them means
        that nothing landed.
        """


class Tables(Protocol):
    """What is in the tables, and the rarer writes. May be used by several threads at once.

    Everything raises OutcomeUnknownError and RefusedError.
    """

    def read_back(self, family: Family, partition: Partition, asked: ReadBack) -> Evidence:
        """As `ReadBack` says."""

    def survey(
        self, family: Family, partition: Partition, asked: Survey, letters: Callable[[], Ranges]
    ) -> Surveyed:
        """As `Survey` says.

        `letters` tells the places of the partition's dead letters; they are read before the rows,
        since a letter that is driven again becomes a row and is withdrawn then.
        """

    def cancel(self, partition: Partition, generation: int) -> None:
        """Kill the running inserts of a partition and wait for their end."""

    def rebuild_marts(self, family: Family, partition: Partition, start: int, end: int) -> None:
        """Give the marts what the rows of [start, end) say; again, it changes nothing."""

    def erased_viewers(self, shard: int) -> ErasedViewers:
        """The list as the shard has it now; all shards have the same."""

    def enter_ledger(self, shard: int, partition: Partition, offsets: Sequence[int]) -> None:
        """Put places into the erasure ledger, by way of the shard; again, it changes nothing."""


class LetterBox(Protocol):
    """The dead-letter topic and the records themselves, to be read. For several threads."""

    def places(self, partition: Partition, start: int) -> Ranges:
        """The places at or after `start` that have a letter. Raises OutcomeUnknownError."""

    def letter(self, partition: Partition, offset: int, detail: str) -> DeadLetter | None:
        """The record as a letter that says the store refuses its row; None where it is gone."""


class DeadLetters(Protocol):
    """Keeps refused records. May be used by several threads at once."""

    def publish(self, letters: Sequence[DeadLetter], keep_by_s: int) -> None:
        """Keep every letter; returns when each has been acknowledged.

        Some seconds after `keep_by_s`, since the epoch, no letter is kept any more, whenever it
        was sent. Repeating a letter changes nothing. Raises OutcomeUnknownError, RefusedError.
        """

    def close(self) -> None:
        """Release the connection."""
