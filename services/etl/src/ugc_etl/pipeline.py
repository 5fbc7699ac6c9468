"""The loop: read, cut, let every partition's course go on; and what happens when they come and go.

One thread runs the loop and is the only one that talks to the source and the offset log. What asks
a shard runs in threads of its own, at most one action of each partition at a time. Nothing here
sleeps: a delay is a time that the loop compares with its clock.

What to do next is decided by `ugc_etl.protocol`; here it is done. See docs/delivery-semantics.md.

One module although it is long: the loop and the listener's callbacks share all of its state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TypeVar

from ugc_etl.backoff import Backoff
from ugc_etl.batch import BatchPolicy
from ugc_etl.delivery import Deliverer
from ugc_etl.lane import Lane
from ugc_etl.metrics import Metrics
from ugc_etl.outage import Outage
from ugc_etl.performer import Performer, Slow
from ugc_etl.ports import OffsetLog, OutcomeUnknownError, RefusedError, SinkClock, Source
from ugc_etl.probes import Health
from ugc_etl.protocol import Course, Mark, Rules
from ugc_etl.protocol.actions import (
    Cancel,
    Commit,
    Deliver,
    ReadBack,
    RebuildMarts,
    Reread,
    Skip,
    Stop,
    Survey,
    Wait,
)
from ugc_etl.protocol.facts import (
    Assigned,
    Committed,
    Cut,
    Delivered,
    Fact,
    Held,
    Performed,
    Unsure,
)
from ugc_etl.protocol.phases import Completing, Declaring, Delivering, Rebuilding
from ugc_etl.records import Partition
from ugc_etl.room import Room

log = logging.getLogger(__name__)
T = TypeVar("T")

_REPORT_EVERY_S = 1.0
_ASK_ALL_EVERY_S = 1.0  # lanes that rest too: a mark may have to be refreshed
_WAIT_S = 0.1
_MOST_COMMITS = 3  # of one partition in one turn: declare, complete and declare the next
_DOES: Mapping[type[Slow], str] = {
    ReadBack: "asks for the rows of what is pending",
    Survey: "asks all tables where to go on",
    Cancel: "ends its inserts that still run",
    RebuildMarts: "completes the marts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """How the loop behaves.

    Attributes:
        poll_s: how long one poll may wait for records; what else is due waits as long.
        grace_s: how long revoked partitions, or a stop, wait for what is in flight.
        max_buffered_bytes: of records in memory, about; see `Room`.
        backoff: between repetitions.
    """

    poll_s: float = 0.1
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
        executor_of: of each shard, what asks it runs here: one that hangs holds up no other.
    """

    monotonic_s: Callable[[], float]
    wall_s: Callable[[], float]
    random: Callable[[], float]
    wait: Callable[[Collection[Future[Fact]], float], object]
    executor_of: Callable[[int], Executor]


class _StoppedError(Exception):
    """The process is to stop while a question is open that the rest waits for."""


class Pipeline:
    """Moves records from the source to the tables; the source's assignment listener."""

    def __init__(
        self,
        *,
        source: Source,
        offset_log: OffsetLog,
        sink_clock: SinkClock,
        deliverer: Deliverer,
        performer: Performer,
        rules: Rules,
        policy: BatchPolicy,
        options: PipelineOptions,
        runtime: Runtime,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._source = source
        self._offset_log = offset_log
        self._sink_clock = sink_clock
        self._deliverer = deliverer
        self._performer = performer
        self._rules = rules
        self._policy = policy
        self._options = options
        self._runtime = runtime
        self._metrics = metrics
        self._health = health
        self._lanes: dict[Partition, Lane] = {}
        self._room = Room(options.max_buffered_bytes)
        self._reported_at_s = self._asked_all_at_s = float("-inf")
        self._stopped: Callable[[], bool] = lambda: False
        self._questions = Outage("Kafka does not say where to begin", log)
        self._sinks = [Outage(f"{what} does not take batches", log) for what in _sinks(rules)]
        self._commits = Outage("offsets are not committed", log)

    # The loop.

    def run(self, stopped: Callable[[], bool]) -> None:
        """Run until `stopped`; then finish what is in flight, within the grace, and leave.

        Raises RefusedError where going on would be wrong; nothing is committed then that was
        not delivered.
        """
        self._stopped = stopped
        self._source.subscribe(self)
        try:
            while not stopped():
                self.turn()
            self._finish(list(self._lanes.values()))
        except _StoppedError:
            log.info("stopped before an assignment was taken")
        finally:
            self._drop(list(self._lanes))
            self._source.close()

    def turn(self) -> None:
        """One turn of the loop."""
        self._read()
        now_s = self._runtime.monotonic_s()
        age_s = self._policy.age_s(sum(lane.is_busy for lane in self._lanes.values()))
        self._advance(self._awake(now_s, age_s), age_s)
        self._hold_back()
        self._report(now_s)
        self._health.turned()

    def _awake(self, now_s: float, age_s: float) -> Sequence[Lane]:
        """Those to ask in this turn: hundreds of lanes without records cost next to nothing."""
        lanes = list(self._lanes.values())
        if now_s - self._asked_all_at_s < _ASK_ALL_EVERY_S:
            return [lane for lane in lanes if lane.may_go_on(now_s, age_s)]
        self._asked_all_at_s = now_s
        return lanes

    def _read(self) -> None:
        """Poll and decode. When it returns, what was polled is forgotten: only rows are held."""
        polled = self._source.poll(self._options.poll_s)
        now_s = self._runtime.monotonic_s()
        for records in polled:
            for partition, decoded in self._deliverer.decode(records).items():
                self._lanes[partition].take(decoded, now_s)

    def _advance(self, lanes: Sequence[Lane], age_s: float | None) -> None:
        """Take every lane as far as it goes without waiting; cut batches unless `age_s` is None.

        All commits that are due go in one request.
        """
        now_s = self._runtime.monotonic_s()
        for lane in lanes:
            if lane.task is not None and lane.task.done():
                self._collect(lane, now_s)
        for _ in range(_MOST_COMMITS):
            commits = {}
            for lane in lanes:
                commit = self._go_on(lane, now_s, age_s)
                if commit is not None:
                    commits[lane.partition] = commit.mark
            if not commits or not self._commit(commits, now_s):
                return

    def _go_on(self, lane: Lane, now_s: float, age_s: float | None) -> Commit | None:
        """Perform actions until one takes time; a commit that is due is returned."""
        course = lane.course
        lane.resting = False
        while lane.task is None and lane.retry_at_s <= now_s:
            sink_now_s = self._sink_clock.now_s()
            if course.wants_batch and age_s is not None:
                batch = lane.next_batch(now_s, age_s)
                if batch is not None:
                    course.hear(Cut(batch.end), sink_now_s)
            action = course.next(sink_now_s)
            match action:
                case None:
                    lane.resting = age_s is not None
                    return None
                case Wait():
                    return None
                case Commit():
                    return action
                case Stop(reason):
                    raise RefusedError(reason)
                case Skip(start, end):
                    self._report_gap(lane.partition, start, end)
                    course.hear(Performed(), sink_now_s)
                case Reread(start, end):
                    if not lane.has(start, end):
                        return None
                    course.hear(Held(), sink_now_s)
                case _:
                    self._begin(lane, action)
        return None

    def _begin(self, lane: Lane, action: Slow) -> None:
        submit = self._runtime.executor_of(lane.shard).submit
        if isinstance(action, Deliver):
            delivery = lane.deliver(action.intent, action.skip)
            lane.task = submit(self._performer.deliver, delivery)
        else:
            log.info("%s: %s: %s", lane.partition, _DOES[type(action)], action.reason)
            lane.task = submit(self._performer.ask, lane.partition, action)
        lane.action = action

    def _collect(self, lane: Lane, now_s: float) -> None:
        task, lane.task = lane.task, None
        if task is None:
            return
        fact: Fact | None
        try:
            fact = task.result()
        except OutcomeUnknownError as error:
            self._sinks[lane.shard].failed(f"{lane.partition}: {error}", now_s)
            delivering = isinstance(lane.action, Deliver)
            self._delay(lane, "deliver" if delivering else "ask", now_s)
            fact = Unsure() if delivering else None
        else:
            self._sinks[lane.shard].worked(now_s)
            lane.failures = 0
            lane.retry_at_s = now_s
        if isinstance(fact, Delivered):
            lane.delivered()
        if fact is not None:
            lane.course.hear(fact, self._sink_clock.now_s())

    def _commit(self, marks: Mapping[Partition, Mark], now_s: float) -> bool:
        """Record marks, all in one commit; whether it was acknowledged."""
        lanes = [self._lanes[partition] for partition in marks]
        try:
            self._offset_log.record(marks)
        except OutcomeUnknownError as error:
            self._commits.failed(str(error), now_s)
            for lane in lanes:
                self._delay(lane, "commit", now_s)
            return False
        self._commits.worked(now_s)
        for lane in lanes:
            lane.failures = 0
            lane.course.hear(Committed(), self._sink_clock.now_s())
            intent = marks[lane.partition].intent
            if intent is not None:
                lane.fit(intent)
            if lane.landed is not None:
                self._count(lane)
        return True

    def _count(self, lane: Lane) -> None:
        landed, lane.landed = lane.landed, None
        if landed is not None:
            self._metrics.delivered(
                self._deliverer.route(lane.partition).family.name,
                insert_s=landed.insert_s,
                reasons=landed.reasons,
                received_at_ms=landed.received_at_ms,
                now_ms=landed.landed_at_s * 1000,
            )

    def _delay(self, lane: Lane, step: str, now_s: float) -> None:
        lane.failures += 1
        lane.retry_at_s = now_s + self._options.backoff.delay_s(
            lane.failures, self._runtime.random()
        )
        self._metrics.retries.labels(step).inc()

    def _hold_back(self) -> None:
        """Read only what there is room for."""
        pause, resume = self._room.share_out(self._lanes.values())
        if pause:
            self._source.pause([lane.partition for lane in pause])
        if resume:
            self._source.resume([lane.partition for lane in resume])

    def _report(self, now_s: float) -> None:
        if now_s - self._reported_at_s < _REPORT_EVERY_S:
            return
        self._reported_at_s = now_s
        ends = self._source.ends()
        self._metrics.owned(
            {
                (partition.topic, partition.number): max(
                    ends.get(partition, 0) - max(lane.course.offset, lane.started_at), 0
                )
                for partition, lane in self._lanes.items()
            }
        )

    def _report_gap(self, partition: Partition, start: int, end: int) -> None:
        log.error(
            "%s: Kafka has deleted offsets %d to %d, %d of them, which are in no table",
            partition, start, end - 1, end - start,
        )  # fmt: skip
        lost = self._metrics.lost_offsets.labels(partition.topic, str(partition.number))
        lost.inc(end - start)

    # Partitions come and go.

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Read each from its mark, or from the earliest record there is."""
        marks = self._insist(lambda: self._offset_log.marks(partitions))
        bounds = self._insist(lambda: self._source.bounds(partitions))
        starts = {}
        for partition in partitions:
            earliest, end = bounds[partition]
            found = marks.get(partition)
            course = Course(partition, self._deliverer.route(partition).table, self._rules)
            course.hear(Assigned(found, earliest, end), self._sink_clock.now_s())
            ours = isinstance(found, Mark) and self._rules.is_of_this_life(found, partition)
            intent = found.intent if isinstance(found, Mark) and ours else None
            start = max(course.offset, earliest)
            self._lanes[partition] = Lane(
                partition,
                self._policy,
                course,
                started_at=start,
                next_offset=start,
                shard=self._rules.shard_of(partition),
                taken_over_end=intent.end if intent is not None else 0,
            )
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
        """Complete what is under way; what must be settled is left to the next owner."""
        for lane in lanes:
            lane.drop_unsent()
        give_up_at_s = self._runtime.monotonic_s() + self._options.grace_s
        while True:
            self._advance(lanes, None)
            left = [lane for lane in lanes if _is_under_way(lane)]
            left_s = give_up_at_s - self._runtime.monotonic_s()
            if not left or left_s <= 0:
                break
            tasks = [lane.task for lane in left if lane.task is not None]
            self._runtime.wait(tasks, min(left_s, _WAIT_S))
            self._health.turned()

    def _drop(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            lane = self._lanes.pop(partition, None)
            if lane is None:
                continue
            if lane.task is not None:
                lane.task.cancel()
            if lane.delivery is not None:
                log.warning(
                    "%s: gave up offsets %d to %d, which the next owner settles",
                    partition, lane.delivery.intent.start, lane.delivery.intent.end - 1,
                )  # fmt: skip

    def _insist(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, or the process is to stop."""
        failures = 0
        while True:
            try:
                answer = ask()
            except OutcomeUnknownError as error:
                failures += 1
                self._questions.failed(str(error), self._runtime.monotonic_s())
                if self._stopped():
                    raise _StoppedError from error
                delay_s = self._options.backoff.delay_s(failures, self._runtime.random())
                self._runtime.wait([], delay_s)
                self._health.turned()
            else:
                self._questions.worked(self._runtime.monotonic_s())
                return answer


def _is_under_way(lane: Lane) -> bool:
    return isinstance(lane.course.phase, Declaring | Delivering | Completing | Rebuilding)


def _sinks(rules: Rules) -> list[str]:
    return ["the sink"] if rules.shards == 1 else [f"shard {n}" for n in range(rules.shards)]


def _named(partitions: Iterable[Partition]) -> str:
    return ", ".join(sorted(map(str, partitions))) or "nothing"
