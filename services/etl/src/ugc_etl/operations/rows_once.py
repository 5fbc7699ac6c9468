"""Inserts of the commands: each once, whatever happens to the command.

What is inserted below the committed offset is nobody's but the commands', and of them only the
holder of the lease inserts. A row is sent only where none is, and lands before the second that was
declared or never. Within that time its token makes a repetition empty.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from ugc_events import Family

from ugc_etl.erasure import ERASED_VIEWERS_REFRESH_S, ErasedViewers, erased_viewers_sql
from ugc_etl.native_block import Block, constant_column
from ugc_etl.operations.ports import Sql
from ugc_etl.ports import OutcomeUnknownError
from ugc_etl.protocol.intent import shard_of
from ugc_etl.records import Partition
from ugc_etl.row_table import Rows
from ugc_etl.rows import INSERT_BY, block_of
from ugc_etl.schema import Deployment

_AGAIN_AFTER_S = 1.0
_COMMAND = "command-"

RUNNING_INSERT = "splitByChar('\\n', Settings['log_comment'])[-1]"
"""Its token, in `system.processes`; the embedded server puts lines of its own before it."""


class BlockWriter(Protocol):
    """Inserts blocks under a token."""

    def insert(self, table: str, block: Block, token: str) -> None:
        """Insert the block whole. Raises OutcomeUnknownError, RefusedError."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and patience.

    Attributes:
        monotonic_s: a clock that only goes forward.
        wait: lets seconds pass.
    """

    monotonic_s: Callable[[], float]
    wait: Callable[[float], None]


class Pace:
    """Lets at most so many things happen a second."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self._interval_s = 1 / per_s
        self._clock = clock
        self._next_at_s = float("-inf")

    def take(self) -> None:
        """Wait until the next one may happen."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_at_s:
            self._clock.wait(self._next_at_s - now_s)
        self._next_at_s = max(now_s, self._next_at_s) + self._interval_s


class ErasedList:
    """The erased viewers, never older than the consumers' list may be."""

    def __init__(self, sql: Sql, deployment: Deployment, clock: Clock) -> None:
        self._sql = sql
        self._statement = erased_viewers_sql(deployment)
        self._clock = clock
        self._read_at_s = float("-inf")
        self._list = ErasedViewers.NONE

    def now(self) -> ErasedViewers:
        """The list; asks again when what is known is old."""
        now_s = self._clock.monotonic_s()
        if now_s - self._read_at_s > ERASED_VIEWERS_REFRESH_S / 2:
            self._list = ErasedViewers.of(self._sql.execute(self._statement))
            self._read_at_s = now_s
        return self._list


class RowsOnce:
    """Inserts rows at places that have none."""

    def __init__(
        self,
        sql: Sql,
        writers: Sequence[BlockWriter],
        deployment: Deployment,
        clock: Clock,
        *,
        pseudonym_key: bytes,
    ) -> None:
        """`writers` are those of the shards, in the order of their numbers."""
        self._sql = sql
        self._writers = writers
        self._deployment = deployment
        self._clock = clock
        self._key = pseudonym_key

    def covered(self, family: Family, partition: Partition, offsets: Collection[int]) -> set[int]:
        """Which of the offsets have a row of any generation. Not for many thousands."""
        if not offsets:
            return set()
        listed = ", ".join(map(str, sorted(offsets)))
        rows = self._sql.execute(
            f"SELECT DISTINCT _offset FROM {self._deployment.table(family.table)}"
            f" WHERE _topic_id = toUUID('{UUID(partition.topic_id)}')"
            f" AND _partition = {partition.number} AND _offset IN ({listed})"
        )
        return {int(offset) for (offset,) in rows}

    def covered_between(
        self, family: Family, partition: Partition, start: int, end: int, generation: int | None
    ) -> set[int]:
        """The same of the offsets [start, end): of one generation, or of any for None."""
        of_generation = "" if generation is None else f" AND _generation = {generation}"
        rows = self._sql.execute(
            f"SELECT DISTINCT _offset FROM {self._deployment.table(family.table)}"
            f" WHERE _topic_id = toUUID('{UUID(partition.topic_id)}')"
            f" AND _partition = {partition.number}"
            f" AND _offset >= {start} AND _offset < {end}{of_generation}"
        )
        return {int(offset) for (offset,) in rows}

    def insert(
        self,
        family: Family,
        partition: Partition,
        rows: Rows,
        *,
        place: str,
        until_s: int,
        generation: int = 0,
    ) -> None:
        """Insert rows of one month that are not there, as one block.

        `place` names what is inserted, as "start-end"; the rows land before `until_s`, by
        ClickHouse's clock, or never. Repeats with the same token until then. Raises RefusedError,
        and OutcomeUnknownError where that time comes first: the caller's repetition finds out.
        """
        [(now_s,)] = self._sql.execute("SELECT toUnixTimestamp(now())")
        give_up_at_s = self._clock.monotonic_s() + until_s - now_s
        block = block_of(family, partition, rows, self._key, generation=generation).replacing(
            constant_column(INSERT_BY.name, INSERT_BY.type, until_s, len(rows))
        )
        table = self._deployment.local(family.table)
        token = command_token(partition, place, table, generation, until_s)
        writer = self._writers[shard_of(partition, len(self._writers))]
        while True:
            try:
                return writer.insert(table, block, token)
            except OutcomeUnknownError:
                if self._clock.monotonic_s() + _AGAIN_AFTER_S >= give_up_at_s:
                    raise
                self._clock.wait(_AGAIN_AFTER_S)

    def cancel(self) -> None:
        """Kill the inserts of commands that still run, and wait for their end."""
        cluster = self._deployment.cluster
        on_cluster = f" ON CLUSTER '{cluster}'" if cluster else ""
        self._sql.execute(
            f"KILL QUERY{on_cluster} WHERE"
            f" startsWith(splitByChar(':', {RUNNING_INSERT})[4], '{self._deployment.database}.')"
            f" AND startsWith(splitByChar(':', {RUNNING_INSERT})[6], '{_COMMAND}') SYNC"
        )


def command_token(
    partition: Partition, place: str, table: str, generation: int, until_s: int
) -> str:
    """In the form of `insert_token`, so that who settles an intent sees the insert run as well."""
    return (
        f"{partition.topic_id}:{partition.number}:{place}:{table}:{generation}:{_COMMAND}{until_s}"
    )
