"""A process that runs courses over the fakes. Every step of it is one of the scheduler's.

One module although it is long: it does, action by action, what the pipeline does with real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from ugc_etl.protocol import Course, Intent, Kind, Ranges
from ugc_etl.protocol.actions import (
    Action,
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
    Evidence,
    Fact,
    Gone,
    Held,
    Performed,
    Refusal,
    Refused,
    Surveyed,
    Unsure,
)
from ugc_etl.records import Partition

from ugc_etl_simulation.build import TIMING, Build
from ugc_etl_simulation.clickhouse import ClickHouse, Insert, Life, Reply, Row
from ugc_etl_simulation.kafka import Kafka, Request, SimRecord

REFRESH_S = 3.0
"""How old a consumer's list of erased viewers may be when it decodes."""

Operation = Generator[None, None, Fact | None]


class Surroundings(Protocol):
    """What a consumer needs of its world."""

    random: Random
    now_s: float
    build: Build
    kafka: Kafka
    clickhouse: ClickHouse
    lossy: bool

    def send(self, arrive: Callable[[], None], *, life: Life | None = None) -> None:
        """Put a request on the network; `life`: whose insert it is."""

    def committed(self, request: Request) -> None:
        """A commit was accepted."""

    def skipped(self, life: Life, start: int, end: int) -> None:
        """A gap was reported."""

    def must_be_looked_at(self, consumer: Consumer, partition: Partition, sentence: str) -> None:
        """The consumer has stopped."""

    def says(self, text: str) -> None:
        """Add to the trace."""


@dataclass(slots=True)
class Lane:
    """One owned partition."""

    partition: Partition
    course: Course
    held: list[SimRecord] = field(default_factory=list)
    operation: Operation | None = None
    block_of: Intent | None = None
    letters: list[int] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)
    poisoned: bool = False

    @property
    def life(self) -> Life:
        """The partition as the fakes know it."""
        return self.partition.topic_id, self.partition.number


class Consumer:
    """A process. `name` never comes again; `member` changes when it joins anew."""

    def __init__(
        self, world: Surroundings, name: int, *, decoder: int, shards: int, clock_error_s: float
    ) -> None:
        self.name = name
        self.decoder = decoder
        self.stopped_at_s: float | None = None
        self.lanes: dict[int, Lane] = {}
        self.member = name * 1000
        self._generation = -1
        self._world = world
        self._rules = world.build.rules(timing=TIMING, decoder=str(decoder), shards=shards)
        self._clock_error_s = clock_error_s
        self._erased_viewers: frozenset[int] = frozenset()
        self._erased_read_at_s = float("-inf")

    def step(self) -> None:
        """A poll, or one step of one partition."""
        world = self._world
        if not self.lanes or world.random.random() < 0.15:
            self._poll()
            return
        number = world.random.choice(list(self.lanes))
        lane = self.lanes[number]
        if lane.operation is None:
            self._begin(lane)
            return
        try:
            next(lane.operation)
        except StopIteration as end:
            lane.operation = None
            if self.lanes.get(number) is lane and end.value is not None:
                lane.course.hear(end.value, self._sink_now_s())

    # The group.

    def _poll(self) -> None:
        kafka = self._world.kafka
        if self.member not in kafka.members:
            self.lanes = {}
            self.member += 1
            kafka.joins(self.member)
        elif kafka.preparing:
            if self.member not in kafka.joined and self._world.random.random() < 0.5:
                self.lanes = {}
                kafka.joins(self.member)
        elif self._generation != kafka.generation:
            self._generation = kafka.generation
            self.lanes = {}
            for number in kafka.assignment.get(self.member, ()):
                self._take_over(kafka.partition(number))

    def _take_over(self, partition: Partition) -> None:
        world = self._world
        course = world.build.course(partition, "views", self._rules)
        self._read_erased()
        found = world.kafka.mark(partition.number)
        log = world.kafka.log(partition)
        fact = Assigned(found, log.first, len(log.records))
        world.says(f"{self.name} takes {partition.topic_id}[{partition.number}]: {fact}")
        course.hear(fact, self._sink_now_s())
        self.lanes[partition.number] = Lane(partition, course)

    def _read_erased(self) -> None:
        world = self._world
        self._erased_viewers = frozenset(world.clickhouse.erased_viewers)
        self._erased_read_at_s = world.now_s

    def _sink_now_s(self) -> float:
        return self._world.clickhouse.now_s(self._world.now_s) + self._clock_error_s

    # One partition.

    def _begin(self, lane: Lane) -> None:
        world = self._world
        if lane.course.wants_batch:
            self._cut(lane)
        action = lane.course.next(self._sink_now_s())
        if action is None or isinstance(action, Wait):
            return
        life = f"{lane.partition.topic_id}[{lane.partition.number}]"
        world.says(f"{self.name} {life} {action}")
        lane.operation = self._operation(lane, action)

    def _cut(self, lane: Lane) -> None:
        world = self._world
        log = world.kafka.log(lane.partition)
        offset = lane.course.offset
        if offset < log.first:
            lane.course.hear(Gone(log.first), self._sink_now_s())
        elif offset < len(log.records) and world.random.random() < 0.8:
            end = min(len(log.records), offset + world.random.randint(1, 6))
            lane.held = log.records[offset:end]
            lane.course.hear(Cut(end), self._sink_now_s())

    def _operation(self, lane: Lane, action: Action) -> Operation:
        match action:
            case Commit():
                return self._commit(lane, action)
            case Deliver():
                return self._deliver(lane, action)
            case ReadBack():
                return self._read_back(lane, action)
            case Survey():
                return self._survey(lane, action)
            case Cancel():
                return self._plain(lambda: self._world.clickhouse.cancels(lane.life))
            case RebuildMarts(start, end):
                rebuild = self._world.clickhouse.rebuilds_marts
                return self._plain(lambda: rebuild(lane.life, start, end))
            case Skip(start, end):
                return self._plain(lambda: self._world.skipped(lane.life, start, end))
            case Reread():
                return self._reread(lane, action)
            case Stop(reason):
                return self._stop(lane, reason)
            case Wait():
                raise AssertionError(action)

    def _waited(self, reply: Reply) -> Generator[None, None, bool]:
        """Wait until there is an answer, or nobody waits any more."""
        while reply.answer is None:
            if self._world.random.random() < 0.08:
                return False
            yield
        return True

    def _reply(self) -> Reply:
        return Reply(lost=self._world.lossy and self._world.random.random() < 0.1)

    def _commit(self, lane: Lane, action: Commit) -> Operation:
        world = self._world
        mark = action.mark
        request = Request(
            self.member,
            self._generation,
            lane.partition.number,
            mark.offset,
            world.build.encode(mark),
        )
        reply = self._reply()
        yield

        def arrive() -> None:
            accepted = world.kafka.commits(request)
            if accepted:
                world.committed(request)
            reply.say("ok" if accepted else "no")

        world.send(arrive)
        if not (yield from self._waited(reply)):
            return None
        if reply.answer == "no":
            self.lanes.pop(lane.partition.number, None)
            return None
        return Committed()

    def _deliver(self, lane: Lane, action: Deliver) -> Operation:
        intent = action.intent
        if lane.block_of != intent:
            self._decode(lane, intent, action.skip)
        yield
        steps = [self._send_letters, self._send_rows]
        if not self._world.build.letters_first:
            steps.reverse()
        for send in steps:
            answer = yield from send(lane, intent)
            if answer is not None:
                return answer
        return Delivered()

    def _decode(self, lane: Lane, intent: Intent, skip: Ranges) -> None:
        world = self._world
        if world.now_s - self._erased_read_at_s > REFRESH_S:
            self._read_erased()
        erased = self._erased_viewers if world.build.filters_erased else frozenset[int]()
        lane.block_of = intent
        lane.letters, lane.erased, lane.rows = [], [], {}
        lane.poisoned = False
        for record in lane.held:
            if not intent.start <= record.offset < intent.end or record.offset in skip:
                continue
            if record.marker:
                continue
            if intent.kind is Kind.REJECT or record.needs > self.decoder:
                lane.letters.append(record.offset)
            elif record.viewer in erased:
                lane.erased.append(record.offset)
            else:
                lane.rows[record.offset] = Row(intent.attempt, intent.insert_by_s, record.viewer)
                lane.poisoned |= record.poison

    def _send_letters(self, lane: Lane, intent: Intent) -> Operation:
        world = self._world
        if lane.letters:
            letters, life = list(lane.letters), lane.life
            reply = self._reply()

            def arrive() -> None:
                if world.build.late_letters_refused and self._is_too_late(intent):
                    reply.say("late")
                else:
                    world.clickhouse.writes_letters(life, letters)
                    reply.say("ok")

            world.send(arrive)
            if not (yield from self._waited(reply)) or reply.answer != "ok":
                return Unsure()
        if lane.erased:
            world.clickhouse.ledger.setdefault(lane.life, set()).update(lane.erased)
            yield
        return None

    def _is_too_late(self, intent: Intent) -> bool:
        """The topic's `message.timestamp.before.max.ms`."""
        world = self._world
        return intent.insert_by_s < world.kafka.now_s(world.now_s) - TIMING.fence_s / 2

    def _send_rows(self, lane: Lane, intent: Intent) -> Operation:
        world = self._world
        if not lane.rows:
            return None
        reply = self._reply()
        insert = Insert(
            token=world.build.token(lane.partition, intent),
            life=lane.life,
            rows=dict(lane.rows),
            insert_by_s=intent.insert_by_s,
            poisoned=lane.poisoned,
            reply=reply,
        )
        yield
        world.send(
            lambda: world.clickhouse.arrives(intent.shard, insert, world.now_s),
            life=lane.life,
        )
        if not (yield from self._waited(reply)) or reply.answer == "unknown":
            return Unsure()
        if reply.answer == "data":
            return Refused(Refusal.DATA, "refused")
        if reply.answer == "late":
            return Refused(Refusal.LATE, "too late")
        return None

    def _read_back(self, lane: Lane, action: ReadBack) -> Operation:
        world, clickhouse, life = self._world, self._world.clickhouse, lane.life
        yield
        if self._fails():
            return None
        if not world.build.read_clock_first:
            rows, others = self._rows(lane, action)
            yield
            running = clickhouse.is_running(life)
            yield
            now_s = clickhouse.now_s(world.now_s)
        else:
            now_s = clickhouse.now_s(world.now_s)
            yield
            running = clickhouse.is_running(life)
            yield
            rows, others = self._rows(lane, action)
        evidence = Evidence(server_now_s=now_s, running=running, rows=rows, others=others)
        world.says(f"{self.name} {evidence}")
        return evidence

    def _rows(self, lane: Lane, action: ReadBack) -> tuple[int, bool]:
        clickhouse, intent = self._world.clickhouse, action.intent
        own: list[int] = []
        if intent is not None:
            here = clickhouse.shards[intent.shard].rows.get(lane.life, {})
            own = [
                offset
                for offset, row in here.items()
                if self._world.build.is_own(row, offset, intent)
            ]
        every = clickhouse.rows_of(lane.life)
        return len(own), any(offset >= action.offset for offset in every.keys() - own)

    def _survey(self, lane: Lane, action: Survey) -> Operation:
        world, clickhouse, life = self._world, self._world.clickhouse, lane.life
        yield
        if self._fails():
            return None
        now_s = clickhouse.now_s(world.now_s)
        yield
        running = clickhouse.is_running(life)
        yield
        rows = clickhouse.rows_of(life)
        places = {*rows, *clickhouse.letters.get(life, ()), *clickhouse.ledger.get(life, ())}
        surveyed = Surveyed(
            server_now_s=now_s,
            running=running,
            covered=Ranges.of_offsets(o for o in places if o >= action.start),
            attempt=max((r.attempt for o, r in rows.items() if o >= action.start), default=-1),
        )
        world.says(f"{self.name} {surveyed}")
        return surveyed

    def _reread(self, lane: Lane, action: Reread) -> Operation:
        yield
        log = self._world.kafka.log(lane.partition)
        if log.first > action.start:
            return Gone(log.first)
        lane.held = log.records[action.start : action.end]
        return Held()

    def _plain(self, do: Callable[[], None]) -> Operation:
        yield
        if self._fails():
            return None
        do()
        return None if self._fails() else Performed()

    def _stop(self, lane: Lane, reason: str) -> Operation:
        yield
        self._world.must_be_looked_at(self, lane.partition, reason)
        return None

    def _fails(self) -> bool:
        return self._world.lossy and self._world.random.random() < 0.1
