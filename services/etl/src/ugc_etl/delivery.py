"""One batch on its way: decoded, its dead letters kept, its rows inserted. Runs in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from ugc_events import DeadLetter, Family

from ugc_etl.batch import Batch
from ugc_etl.dead_letter_limit import BadRun, DeadLetterLimit
from ugc_etl.decode import decode
from ugc_etl.native_block import Block, constant_column
from ugc_etl.ports import DeadLetters, RefusedError, TableWriter
from ugc_etl.records import Partition
from ugc_etl.rows import INSERT_BY, block_of
from ugc_etl.token import insert_token


@dataclass(frozen=True, slots=True)
class Route:
    """Where the records of a topic go.

    Attributes:
        family: how they are decoded.
        table: the qualified name of the table that takes the rows.
    """

    family: Family
    table: str


@dataclass(slots=True)
class Delivery:
    """A batch and how far it has come. A repetition goes on where the last attempt stopped.

    Attributes:
        batch: what is delivered.
        insert_by_s: the deadline of the insert by the sink's clock, seconds since the epoch: the
            sink itself refuses rows that come later.
        block: the rows, once decoded.
        dead_letters: those not yet acknowledged; None before decoding.
        received_at_ms: of every row.
        insert_s: what the successful insert took.
        landed_at_s: the time of day when everything was acknowledged.
    """

    batch: Batch
    insert_by_s: int
    block: Block | None = None
    dead_letters: list[DeadLetter] | None = None
    reasons: list[str] = field(default_factory=list)
    received_at_ms: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    insert_s: float = 0.0
    landed_at_s: float = 0.0


class Deliverer:
    """Carries batches to the sink; shared by the threads."""

    def __init__(
        self,
        *,
        routes: Mapping[str, Route],
        writer: TableWriter,
        dead_letters: DeadLetters,
        limit: DeadLetterLimit,
        pseudonym_key: bytes,
        wall_s: Callable[[], float],
        monotonic_s: Callable[[], float],
    ) -> None:
        """`routes` is by topic; `wall_s` tells the time of day, seconds since the epoch."""
        self._routes = routes
        self._writer = writer
        self._dead_letters = dead_letters
        self._limit = limit
        self._key = pseudonym_key
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        # One batch of a partition is in flight at a time, so no two threads meet in an entry.
        self._bad_runs: dict[Partition, BadRun] = {}

    def family_of(self, partition: Partition) -> str:
        """The name of the family whose topic the partition is of."""
        return self._routes[partition.topic].family.name

    def deliver(self, delivery: Delivery) -> None:
        """Do all that comes before the commit.

        Dead letters are acknowledged before anything of the batch may be committed, rows are
        inserted under the batch's token. Raises OutcomeUnknownError (call again with the same
        delivery) and RefusedError.
        """
        route = self._routes[delivery.batch.partition.topic]
        if delivery.block is None:
            self._decode(route.family, delivery)
        if delivery.dead_letters:
            self._dead_letters.publish(delivery.dead_letters)
            delivery.dead_letters = []
        block = delivery.block
        if block is not None and block.rows:
            deadline = constant_column(
                INSERT_BY.name, INSERT_BY.type, delivery.insert_by_s, block.rows
            )
            started_s = self._monotonic_s()
            self._writer.insert(
                route.table, block.replacing(deadline), insert_token(delivery.batch, route.table)
            )
            delivery.insert_s = self._monotonic_s() - started_s
        delivery.landed_at_s = self._wall_s()

    def _decode(self, family: Family, delivery: Delivery) -> None:
        batch = delivery.batch
        columns, letters = decode(
            family, batch.partition, batch.records, int(self._wall_s() * 1000)
        )
        bad_run = self._bad_runs.setdefault(batch.partition, BadRun(self._limit))
        if bad_run.exceeds(len(batch.records), len(letters)):
            last = letters[-1]
            raise RefusedError(
                f"more than {self._limit.letters} records of {batch.partition} in one run cannot "
                f"be taken, up to offset {last.offset}: {last.field or 'the record'}: "
                f"{last.detail}. They stay in Kafka; nothing of this batch was written"
            )
        delivery.dead_letters = letters
        delivery.reasons = [letter.reason.value for letter in letters]
        delivery.received_at_ms = columns.received_at_ms
        delivery.block = block_of(family, batch.partition, columns, self._key)
