"""The loop: read, cut, send, commit; and what happens when partitions come and go.

One thread runs the loop and is the only one that talks to the source and the offset log. The
batches travel in the threads of an executor, at most one of each partition at a time. Nothing
here sleeps: a delay is a time that the loop compares with its clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TypeVar

from ugc_etl.backoff import Backoff
from ugc_etl.batch import BatchPolicy
from ugc_etl.delivery import Deliverer, Delivery
from ugc_etl.lane import Flight, Lane
from ugc_etl.metrics import Metrics
from ugc_etl.outage import Outage
from ugc_etl.ports import (
    Mark,
    OffsetLog,
    OutcomeUnknownError,
    RefusedError,
    Source,
    TableWriter,
)
from ugc_etl.probes import Health
from ugc_etl.records import Partition

log = logging.getLogger(__name__)
T = TypeVar("T")

_REPORT_EVERY_S = 1.0
_WAIT_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """How the loop behaves.

    Attributes:
        poll_s: how long one poll may wait for records; what else is due waits as long.
        insert_deadline_s: from sending a batch to the time when the sink refuses it.
        deadline_margin_s: a batch is sent again only while that much of its deadline is left;
            then its deadline is moved first.
        grace_s: how long revoked partitions, or a stop, wait for what is in flight.
        max_buffered_bytes: of records in memory, about; reading stops above it.
        backoff: between repetitions.
    """

    poll_s: float = 0.1
    insert_deadline_s: float = 60.0
    deadline_margin_s: float = 5.0
    grace_s: float = 20.0
    max_buffered_bytes: int = 64 * 1024 * 1024
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Time, chance and threads.

    Attributes:
        monotonic_s: the loop's clock.
        wall_s: the time of day, seconds since the epoch.
        random: in [0, 1).
        wait: returns when one of the futures is done or the seconds have passed.
        executor: runs the deliveries.
    """

    monotonic_s: Callable[[], float]
    wall_s: Callable[[], float]
    random: Callable[[], float]
    wait: Callable[[Collection[Future[None]], float], object]
    executor: Executor


class Pipeline:
    """Moves records from the source to the tables; the source's assignment listener."""

    def __init__(
        self,
        *,
        source: Source,
        offset_log: OffsetLog,
        writer: TableWriter,
        deliverer: Deliverer,
        policy: BatchPolicy,
        options: PipelineOptions,
        runtime: Runtime,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._source = source
        self._offset_log = offset_log
        self._writer = writer
        self._deliverer = deliverer
        self._policy = policy
        self._options = options
        self._runtime = runtime
        self._metrics = metrics
        self._health = health
        self._lanes: dict[Partition, Lane] = {}
        self._over_limit = False
        self._reported_at_s = float("-inf")
        self._sink = Outage("the sink does not take batches", log)
        self._commits = Outage("offsets are not committed", log)

    # The loop.

    def run(self, stopped: Callable[[], bool]) -> None:
        """Run until `stopped`; then finish what is in flight, within the grace, and leave.

        Raises RefusedError where going on would be wrong; nothing is committed then that was
        not delivered.
        """
        self._source.subscribe(self)
        try:
            while not stopped():
                self.turn()
            self._finish(list(self._lanes.values()))
        finally:
            self._drop(list(self._lanes))
            self._source.close()

    def turn(self) -> None:
        """One turn of the loop."""
        polled = self._source.poll(self._options.poll_s)
        now_s = self._runtime.monotonic_s()
        for records in polled:
            for partition, decoded in self._deliverer.decode(records).items():
                self._lanes[partition].take(decoded, now_s)
        self._advance(self._lanes.values())
        # Memory for larger batches is not to be had then.
        busy = sum(lane.is_busy for lane in self._lanes.values())
        age_s = 0.0 if self._over_limit else self._policy.age_s(busy)
        for lane in self._lanes.values():
            batch = lane.next_batch(now_s, age_s)
            if batch is not None:
                lane.flight = Flight(Delivery(batch, self._insert_by_s()))
                self._send(lane.flight)
        self._hold_back()
        self._report(now_s)
        self._health.turned()

    def _advance(self, lanes: Iterable[Lane]) -> None:
        """Take every flight of these lanes as far as it goes without waiting."""
        flights = [(lane, lane.flight) for lane in lanes if lane.flight is not None]
        now_s = self._runtime.monotonic_s()
        for lane, flight in flights:
            if flight.attempt is not None and flight.attempt.done():
                self._landed(lane, flight, now_s)
        due = [
            (lane, flight)
            for lane, flight in flights
            if flight.attempt is None and flight.retry_at_s <= now_s
        ]
        self._commit([(lane, flight) for lane, flight in due if flight.delivered], now_s)
        for lane, flight in due:
            if not flight.delivered and self._may_repeat(lane, flight, now_s):
                self._send(flight)

    def _send(self, flight: Flight) -> None:
        flight.attempt = self._runtime.executor.submit(self._deliverer.deliver, flight.delivery)

    def _landed(self, lane: Lane, flight: Flight, now_s: float) -> None:
        attempt, flight.attempt = flight.attempt, None
        try:
            if attempt is not None:
                attempt.result()
        except OutcomeUnknownError as error:
            self._sink.failed(f"{lane.partition}: {error}", now_s)
            self._delay(flight, "deliver", now_s)
        else:
            self._sink.worked(now_s)
            flight.delivered = True
            flight.failures = 0
            flight.retry_at_s = now_s

    def _commit(self, done: Sequence[tuple[Lane, Flight]], now_s: float) -> None:
        """Record the ends of delivered batches, all in one commit."""
        if not done:
            return
        try:
            self._offset_log.record(
                [Mark(lane.partition, flight.delivery.batch.end) for lane, flight in done]
            )
        except OutcomeUnknownError as error:
            self._commits.failed(str(error), now_s)
            for _, flight in done:
                self._delay(flight, "commit", now_s)
            return
        self._commits.worked(now_s)
        for lane, flight in done:
            delivery = flight.delivery
            lane.done = delivery.batch.end
            lane.flight = None
            self._metrics.delivered(
                self._deliverer.family_of(lane.partition),
                insert_s=delivery.insert_s,
                reasons=delivery.reasons,
                received_at_ms=delivery.batch.rows["received_at"],
                now_ms=delivery.landed_at_s * 1000,
            )

    def _may_repeat(self, lane: Lane, flight: Flight, now_s: float) -> bool:
        """Whether the batch may be sent again under its token; moves its deadline if need be."""
        delivery = flight.delivery
        if self._writer.now_s() + self._options.deadline_margin_s < delivery.insert_by_s:
            return True
        # A later deadline is a new declaration, which only the partition's owner can make.
        try:
            self._offset_log.record([Mark(lane.partition, delivery.batch.start)])
        except OutcomeUnknownError as error:
            self._commits.failed(str(error), now_s)
            self._delay(flight, "commit", now_s)
            return False
        delivery.insert_by_s = self._insert_by_s()
        return True

    def _delay(self, flight: Flight, step: str, now_s: float) -> None:
        flight.failures += 1
        flight.retry_at_s = now_s + self._options.backoff.delay_s(
            flight.failures, self._runtime.random()
        )
        self._metrics.retries.labels(step).inc()

    def _insert_by_s(self) -> int:
        return int(self._writer.now_s() + self._options.insert_deadline_s)

    def _hold_back(self) -> None:
        """Read only what there is room for."""
        held_bytes = sum(lane.held_bytes for lane in self._lanes.values())
        limit = self._options.max_buffered_bytes
        self._over_limit = held_bytes > (limit / 2 if self._over_limit else limit)
        pause: list[Partition] = []
        resume: list[Partition] = []
        for lane in self._lanes.values():
            full = self._over_limit or lane.is_full
            if full != lane.paused:
                (pause if full else resume).append(lane.partition)
                lane.paused = full
        if pause:
            self._source.pause(pause)
        if resume:
            self._source.resume(resume)

    def _report(self, now_s: float) -> None:
        if now_s - self._reported_at_s < _REPORT_EVERY_S:
            return
        self._reported_at_s = now_s
        ends = self._source.ends()
        self._metrics.owned(
            {
                (partition.topic, partition.number): max(ends.get(partition, 0) - lane.done, 0)
                for partition, lane in self._lanes.items()
            }
        )

    # Partitions come and go.

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Read each from its mark; one without a mark from the earliest record there is."""
        marks = self._insist(lambda: self._offset_log.marks(partitions))
        earliest = self._insist(lambda: self._source.earliest(partitions))
        starts = {}
        for partition in partitions:
            start = marks[partition].offset if partition in marks else earliest[partition]
            if start < earliest[partition]:
                lost = earliest[partition] - start
                log.error(
                    "%s: Kafka has deleted %d records, offsets %d to %d, that were never read",
                    partition, lost, start, earliest[partition] - 1,
                )  # fmt: skip
                self._metrics.lost_offsets.labels(partition.topic, str(partition.number)).inc(lost)
                start = earliest[partition]
            self._lanes[partition] = Lane(partition, self._policy, start, start)
            starts[partition] = start
        log.info("assigned: %s", _named(starts))
        return starts

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish what is in flight, within the grace; forget the rest, its next owner reads it."""
        log.info("revoked: %s", _named(partitions))
        self._finish([self._lanes[p] for p in partitions if p in self._lanes])
        self._drop(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget them at once: a commit could harm their new owner."""
        log.warning("lost: %s", _named(partitions))
        self._drop(partitions)

    def _finish(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            lane.drop_unsent()
        give_up_at_s = self._runtime.monotonic_s() + self._options.grace_s
        while True:
            self._advance(lanes)
            flights = [lane.flight for lane in lanes if lane.flight is not None]
            left_s = give_up_at_s - self._runtime.monotonic_s()
            if not flights or left_s <= 0:
                break
            attempts = [flight.attempt for flight in flights if flight.attempt is not None]
            self._runtime.wait(attempts, min(left_s, _WAIT_S))
            self._health.turned()

    def _drop(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            lane = self._lanes.pop(partition, None)
            if lane is None or lane.flight is None:
                continue
            if lane.flight.attempt is not None:
                lane.flight.attempt.cancel()
            batch = lane.flight.delivery.batch
            log.warning(
                "%s: gave up offsets %d to %d, which may have been inserted or not",
                partition, batch.start, batch.end - 1,
            )  # fmt: skip

    def _insist(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, within the grace."""
        give_up_at_s = self._runtime.monotonic_s() + self._options.grace_s
        failures = 0
        while True:
            try:
                return ask()
            except OutcomeUnknownError as error:
                failures += 1
                now_s = self._runtime.monotonic_s()
                if now_s >= give_up_at_s:
                    raise RefusedError(f"Kafka gave no answer about offsets: {error}") from error
                delay_s = self._options.backoff.delay_s(failures, self._runtime.random())
                self._runtime.wait([], min(delay_s, give_up_at_s - now_s))


def _named(partitions: Iterable[Partition]) -> str:
    return ", ".join(sorted(map(str, partitions))) or "nothing"
