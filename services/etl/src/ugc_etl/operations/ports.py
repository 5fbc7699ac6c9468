"""What the operators' commands need of Kafka and ClickHouse.

Calls raise the errors of `ugc_etl.ports`: OutcomeUnknownError (do the same again) and
RefusedError; `Sql` raises ServerRefused for the server's answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ugc_events import DeadLetter
from ugc_events.dead_letters import Headers

from ugc_etl.protocol.intent import Foreign, Mark
from ugc_etl.records import Partition


class StoredRecord(NamedTuple):
    """A record as Kafka keeps it."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class LetterRecord(NamedTuple):
    """A record of the dead-letter topic.

    Attributes:
        partition, offset: of this record, in the dead-letter topic.
        key: the place it is about, as text.
        letter: None for a withdrawal (a null value).
        size_bytes: of the value.
    """

    partition: int
    offset: int
    key: bytes
    letter: DeadLetter | None
    size_bytes: int


class KafkaLog(Protocol):
    """Kafka, to be read by hand: no member of any group."""

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """Every partition of those topics that are there, in order."""

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        """For each partition its first kept offset and the one behind its last stable record."""

    def at_time(self, partitions: Sequence[Partition], time_ms: int) -> Mapping[Partition, int]:
        """For each partition the first offset with that timestamp or a later one, else the end."""

    def marks(
        self, group: str, partitions: Sequence[Partition]
    ) -> Mapping[Partition, Mark | Foreign]:
        """What the group has committed, where it has."""

    def read(self, partition: Partition, start: int, end: int) -> Iterator[StoredRecord]:
        """The committed records of [start, end), in order; as far as they are kept.

        Raises RefusedError where the topic is made anew meanwhile.
        """

    def letters(self, topic: str) -> Iterator[LetterRecord]:
        """Every record of the dead-letter topic up to its end at the call.

        Of one place, the last record counts. Raises RefusedError for one that is no dead letter.
        """

    def publish(self, topic: str, letters: Sequence[DeadLetter], keep_by_s: int) -> None:
        """Keep every letter under its place; repeating one changes nothing. Waits until kept.

        Some seconds after `keep_by_s`, since the epoch, the topic takes none of them any more.
        """

    def withdraw(self, topic: str, letters: Sequence[LetterRecord], keep_by_s: int) -> None:
        """Write a null value under each letter's key into its partition; the same otherwise."""

    def close(self) -> None:
        """Release the connections."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a holder of the commands' lease has declared.

    Attributes:
        holder: for people.
        until_s: its inserts may land up to this second, by ClickHouse's clock, since the epoch.
    """

    holder: str
    until_s: int


class LeaseLog(Protocol):
    """Keeps what the holder of the commands' lease has declared."""

    def declared(self) -> Declared | None:
        """What was declared last; None: nothing. Raises OutcomeUnknownError, RefusedError."""

    def fence(self) -> None:
        """From now on only this log's owner may declare; what others began is not to come.

        Raises OutcomeUnknownError, RefusedError.
        """

    def declare(self, declared: Declared) -> None:
        """Keep it, durably. Raises RefusedError where another has fenced; OutcomeUnknownError."""


class Sql(Protocol):
    """ClickHouse, to be asked."""

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. Raises ServerRefused, OutcomeUnknownError."""
