"""One batch on its way: its dead letters kept, its rows inserted. Runs in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ugc_events import DeadLetter, Family

from ugc_etl.batch import Batch
from ugc_etl.dead_letter_limit import BadRun, DeadLetterLimit
from ugc_etl.decode import Decoded, Decoder
from ugc_etl.native_block import constant_column
from ugc_etl.ports import DeadLetters, RefusedError, TableWriter
from ugc_etl.records import Partition, Records
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
        dead_letters: those not yet acknowledged; None before the first attempt.
        reasons: of all dead letters.
        insert_s: what the successful insert took.
        landed_at_s: the time of day when everything was acknowledged.
    """

    batch: Batch
    insert_by_s: int
    dead_letters: list[DeadLetter] | None = None
    reasons: list[str] = field(default_factory=list)
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
        self._decoders = {topic: Decoder(route.family) for topic, route in routes.items()}
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

    def decode(self, records: Records) -> Mapping[Partition, Decoded]:
        """Decode what was read of one topic; called by the loop's thread only."""
        decoder = self._decoders[records.partitions[0].topic]
        return decoder.decode(records, int(self._wall_s() * 1000))

    def deliver(self, delivery: Delivery) -> None:
        """Do all that comes before the commit.

        Dead letters are acknowledged before anything of the batch may be committed, rows are
        inserted under the batch's token. Raises OutcomeUnknownError (call again with the same
        delivery) and RefusedError.
        """
        batch = delivery.batch
        route = self._routes[batch.partition.topic]
        if delivery.dead_letters is None:
            self._judge(delivery)
        if delivery.dead_letters:
            self._dead_letters.publish(delivery.dead_letters)
            delivery.dead_letters = []
        if len(batch.rows):
            # Built for every attempt: those that wait for the next one hold no memory for it.
            block = block_of(route.family, batch.partition, batch.rows, self._key)
            deadline = constant_column(
                INSERT_BY.name, INSERT_BY.type, delivery.insert_by_s, block.rows
            )
            started_s = self._monotonic_s()
            self._writer.insert(
                route.table, block.replacing(deadline), insert_token(batch, route.table)
            )
            delivery.insert_s = self._monotonic_s() - started_s
        delivery.landed_at_s = self._wall_s()

    def _judge(self, delivery: Delivery) -> None:
        """Begin; raises RefusedError where too many records of a run are bad."""
        batch = delivery.batch
        bad_run = self._bad_runs.setdefault(batch.partition, BadRun(self._limit))
        if bad_run.exceeds(len(batch), len(batch.dead_letters)):
            last = batch.dead_letters[-1]
            raise RefusedError(
                f"more than {self._limit.letters} records of {batch.partition} in one run cannot "
                f"be taken, up to offset {last.offset}: {last.field or 'the record'}: "
                f"{last.detail}. They stay in Kafka; nothing of this batch was written"
            )
        delivery.dead_letters = list(batch.dead_letters)
        delivery.reasons = [letter.reason.value for letter in batch.dead_letters]
