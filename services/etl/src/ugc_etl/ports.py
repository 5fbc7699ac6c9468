"""What the pipeline needs of the world, and the errors it can act on.

Errors are named by what the caller does next. Adapters wrap what their drivers raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ugc_events import DeadLetter

from ugc_etl.native_block import Block
from ugc_etl.records import Partition, Records


class OutcomeUnknownError(Exception):
    """It may have happened or not: do the same again, later."""


class RefusedError(Exception):
    """The answer is no and will stay no: stop, say why, and let a person look."""


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

    def earliest(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """The first offset that each partition still has. Raises OutcomeUnknownError."""

    def ends(self) -> Mapping[Partition, int]:
        """The end of each owned partition as last heard of; some seconds old, perhaps empty."""

    def close(self) -> None:
        """Give up what is owned (the listener hears of it) and leave."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a partition is done.

    Attributes:
        partition: whose.
        offset: every record before it is in its table or among the dead letters. What is in
            flight from here on, the intent, will be the next attribute: one commit completes a
            batch and declares the following one.
    """

    partition: Partition
    offset: int


class OffsetLog(Protocol):
    """Remembers, for every partition, how far it is done. Used by one thread only."""

    def marks(self, partitions: Sequence[Partition]) -> Mapping[Partition, Mark]:
        """The marks of those partitions that have one. Raises OutcomeUnknownError."""

    def record(self, marks: Sequence[Mark]) -> None:
        """Record all marks, durably.

        Raises OutcomeUnknownError: recording them again is harmless. A partition that is no
        longer ours gives that too; `AssignmentListener.lost` tells it apart.
        """


class TableWriter(Protocol):
    """Inserts blocks. May be used by several threads at once."""

    def now_s(self) -> float:
        """The sink's own clock, seconds since the epoch; asks nobody."""

    def insert(self, table: str, block: Block, token: str) -> None:
        """Insert the block whole into `table`; returns when the sink has acknowledged it.

        A block whose token the sink has seen changes nothing. Raises OutcomeUnknownError,
        RefusedError.
        """

    def close(self) -> None:
        """Cut every connection, those in use too."""


class DeadLetters(Protocol):
    """Keeps refused records. May be used by several threads at once."""

    def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Keep every letter; returns when each has been acknowledged.

        Repeating a letter changes nothing. Raises OutcomeUnknownError, RefusedError.
        """

    def close(self) -> None:
        """Release the connection."""
