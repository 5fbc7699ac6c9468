"""One intent on its way: its dead letters kept, its rows inserted. Runs in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from ugc_events import DeadLetter, Family

from ugc_etl.batch import Batch
from ugc_etl.dead_letter_limit import BadRun, DeadLetterLimit
from ugc_etl.decode import Decoded, Decoder
from ugc_etl.erasure import ERASED_VIEWERS_REFRESH_S, ErasedViewers
from ugc_etl.native_block import constant_column
from ugc_etl.ports import DeadLetters, LetterBox, RefusedError, Tables, TableWriter
from ugc_etl.protocol import Intent, Kind, Ranges, insert_token
from ugc_etl.pseudonym import viewers
from ugc_etl.records import Partition, Records
from ugc_etl.row_table import Rows
from ugc_etl.rows import INSERT_BY, block_of

log = logging.getLogger(__name__)


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
    """An intent, its records, and how far it has come.

    Attributes:
        intent: what was declared.
        batch: exactly its records.
        skip: the places of it that are covered already.
        dead_letters: those not yet acknowledged; None before the first attempt.
        reasons: of all dead letters.
        received_at_ms: of the rows that were inserted.
        insert_s: what the successful insert took.
        landed_at_s: the time of day when everything was acknowledged.
    """

    intent: Intent
    batch: Batch
    skip: Ranges = field(default_factory=Ranges)
    dead_letters: list[DeadLetter] | None = None
    reasons: list[str] = field(default_factory=list)
    received_at_ms: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    insert_s: float = 0.0
    landed_at_s: float = 0.0


@dataclass(slots=True)
class _Erased:
    """The list of erased viewers as a shard told it last."""

    viewers: ErasedViewers = ErasedViewers.NONE
    read_at_s: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class Deliverer:
    """Carries intents to the sink; shared by the threads."""

    def __init__(
        self,
        *,
        routes: Mapping[str, Route],
        writer_of: Callable[[int], TableWriter],
        tables: Tables,
        dead_letters: DeadLetters,
        letter_box: LetterBox,
        limit: DeadLetterLimit,
        pseudonym_key: bytes,
        wall_s: Callable[[], float],
        monotonic_s: Callable[[], float],
    ) -> None:
        """`routes` is by topic; `wall_s` tells the time of day, seconds since the epoch."""
        self._routes = routes
        self._decoders = {topic: Decoder(route.family) for topic, route in routes.items()}
        self._writer_of = writer_of
        self._tables = tables
        self._dead_letters = dead_letters
        self._letter_box = letter_box
        self._limit = limit
        self._key = pseudonym_key
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        # One intent of a partition is in flight at a time, so no two threads meet in an entry.
        self._bad_runs: dict[Partition, BadRun] = {}
        self._erased: dict[int, _Erased] = {}
        self._erased_lock = threading.Lock()

    def route(self, partition: Partition) -> Route:
        """Where the records of a partition go."""
        return self._routes[partition.topic]

    def decode(self, records: Records) -> Mapping[Partition, Decoded]:
        """Decode what was read of one topic; called by the loop's thread only."""
        decoder = self._decoders[records.partitions[0].topic]
        return decoder.decode(records, int(self._wall_s() * 1000))

    def deliver(self, delivery: Delivery) -> None:
        """Do all that comes before the intent is complete.

        Dead letters and entries of the erasure ledger are acknowledged before the rows are sent,
        so rows that are there prove both. Raises OutcomeUnknownError (call again with the same
        delivery), DataRefusedError, TooLateError and RefusedError.
        """
        intent, batch = delivery.intent, delivery.batch
        if delivery.dead_letters is None:
            delivery.dead_letters = self._letters(delivery)
            delivery.reasons = [letter.reason.value for letter in delivery.dead_letters]
        if delivery.dead_letters:
            self._dead_letters.publish(delivery.dead_letters, intent.insert_by_s)
            delivery.dead_letters = []
        rows = self._rows(delivery)
        if len(rows):
            # Built for every attempt: those that wait for the next one hold no memory for it.
            block = block_of(
                self.route(batch.partition).family,
                batch.partition,
                rows,
                self._key,
                generation=intent.generation,
                attempt=intent.attempt,
            )
            deadline = constant_column(
                INSERT_BY.name, INSERT_BY.type, intent.insert_by_s, block.rows
            )
            started_s = self._monotonic_s()
            self._writer_of(intent.shard).insert(
                intent.table, block.replacing(deadline), insert_token(batch.partition, intent)
            )
            delivery.insert_s = self._monotonic_s() - started_s
            delivery.received_at_ms = rows["received_at"]
        delivery.landed_at_s = self._wall_s()

    def _letters(self, delivery: Delivery) -> list[DeadLetter]:
        intent, batch = delivery.intent, delivery.batch
        if intent.kind is Kind.REJECT:
            return self._refused_letters(delivery)
        if intent.attempt == 0:
            self._judge(batch)
        return [letter for letter in batch.dead_letters if letter.offset not in delivery.skip]

    def _refused_letters(self, delivery: Delivery) -> list[DeadLetter]:
        """The letters of what ClickHouse refuses, with the records as they were."""
        batch = delivery.batch
        letters = [letter for letter in batch.dead_letters if letter.offset not in delivery.skip]
        for offset in map(int, batch.rows["_offset"]):
            if offset in delivery.skip:
                continue
            letter = self._letter_box.letter(
                batch.partition, offset, "ClickHouse refuses the row; the ETL's log has its answer"
            )
            if letter is None:
                log.error("%s: Kafka has deleted offset %d, refused", batch.partition, offset)
            else:
                letters.append(letter)
        return letters

    def _rows(self, delivery: Delivery) -> Rows:
        """The rows to insert; those of erased viewers are put into the ledger instead."""
        batch, rows = delivery.batch, delivery.batch.rows
        if delivery.intent.kind is Kind.REJECT:
            return rows.between(0, 0)
        if delivery.skip:
            offsets = map(int, rows["_offset"])
            wanted = np.fromiter((o not in delivery.skip for o in offsets), np.bool_, len(rows))
            rows = rows.where(wanted)
        shard = delivery.intent.shard
        erased = self._fresh_erased(shard)
        if len(rows) and len(erased.viewers):
            gone = erased.mask(viewers(rows["user_id"], self._key), rows["_timestamp"])
            if gone.any():
                places = list(map(int, rows["_offset"][gone]))
                self._tables.enter_ledger(shard, batch.partition, places)
                rows = rows.where(~gone)
        return rows

    def _fresh_erased(self, shard: int) -> ErasedViewers:
        """Asked of the shard that the rows go to: another one may be down."""
        with self._erased_lock:
            known = self._erased.setdefault(shard, _Erased())
        with known.lock:
            now_s = self._monotonic_s()
            if now_s - known.read_at_s > ERASED_VIEWERS_REFRESH_S / 2:
                known.viewers = self._tables.erased_viewers(shard)
                # When it was asked, not when it was answered.
                known.read_at_s = now_s
            return known.viewers

    def _judge(self, batch: Batch) -> None:
        """Raise RefusedError where too many records of a run are bad."""
        bad_run = self._bad_runs.setdefault(batch.partition, BadRun(self._limit))
        if bad_run.exceeds(len(batch), len(batch.dead_letters)):
            last = batch.dead_letters[-1]
            raise RefusedError(
                f"more than {self._limit.letters} records of {batch.partition} in one run cannot "
                f"be taken, up to offset {last.offset}: {last.field or 'the record'}: "
                f"{last.detail}. They stay in Kafka; nothing of this batch was written"
            )


def part_of(batch: Batch, start: int, end: int) -> Batch:
    """The records of the batch in [start, end), which may be none, under these bounds."""
    if not batch.records:
        return replace(batch, start=start, end=end)
    return replace(batch.between(start, end), start=start, end=end)
