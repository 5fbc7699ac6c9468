"""One world: its scheduler, what goes wrong in it, and what must hold.

One module although it is long: faults and books are about the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from random import Random

from ugc_etl.protocol.intent import Mark
from ugc_etl.protocol.metadata import decode_metadata
from ugc_etl.protocol.phases import Declaring, Delivering
from ugc_etl.records import Partition

from ugc_etl_simulation.build import MOST_SKEW_S, TIMING, Build
from ugc_etl_simulation.clickhouse import ClickHouse, Life, Violation
from ugc_etl_simulation.consumer import REFRESH_S, Consumer
from ugc_etl_simulation.hazards import Hazards
from ugc_etl_simulation.kafka import Kafka, Request, SimRecord

SESSION_S = 6.0
CHAOS_STEPS = 600
DRAIN_STEPS = 30_000
_VIEWERS = 4
_DECODERS = 2


@dataclass(slots=True)
class Message:
    """A request under way. `life`: of the partition into which it inserts."""

    arrive: Callable[[], None]
    life: Life | None
    not_before_s: float


class World:
    """Everything, from a seed."""

    def __init__(
        self,
        seed: int,
        hazards: Hazards,
        build: Build,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        """`trace` takes a line for every step worth one."""
        self.random = random = Random(seed)  # noqa: S311 - the same schedule from the same seed
        self.build = build
        self.hazards = hazards
        self.lossy = hazards.lost_replies
        self.now_s = 1000.0 + random.random()
        self.steps = 0
        self.kafka = Kafka(
            random.choice((range(1), range(1, 2), range(5, 7))),
            skew_s=self._skew_s(),
            commits_fenced=build.commits_fenced,
        )
        self.clickhouse = ClickHouse(
            skew_s=self._skew_s(),
            window_s=build.window_s,
            window_blocks=build.window_blocks,
            refuses_late=build.late_rows_refused,
        )
        self.consumers: list[Consumer] = []
        self._trace = trace
        self._at_peace = False
        self._network: list[Message] = []
        self._names = 0
        self._decoder = 1 if hazards.decoder_changes else _DECODERS
        self._shards = 1
        self._accounted: dict[Life, int] = {}
        self._gaps: dict[Life, set[int]] = {}
        self._tools: list[Generator[None, None, None]] = []
        self._faults = self._faults_of(hazards)
        for _ in range(random.choice((2, 2, 3))):
            self._start_consumer()

    # The scheduler.

    def run(self) -> None:
        """Chaos, then peace until everything is done, then the books. Raises Violation."""
        fault_share = self.random.choice((0.01, 0.03, 0.06))
        for _ in range(CHAOS_STEPS):
            self._step(fault_share)
        self._make_peace()
        for _ in range(DRAIN_STEPS):
            self._step(0.0)
            if self.steps % 16 == 0 and self._is_done():
                break
        else:
            raise Violation(f"stuck: {[c.lanes for c in self.consumers]}")
        self._audit()

    def _step(self, fault_share: float) -> None:
        self.steps += 1
        draw = self.random.random()
        if draw < fault_share:
            if self._faults:
                self.random.choice(self._faults)()
            return
        draw = self.random.random()
        if draw < 0.62:
            going = [c for c in self.consumers if c.stopped_at_s is None]
            if going:
                self.random.choice(going).step()
        elif draw < 0.76:
            self._deliver_message()
        elif draw < 0.86:
            self._commit_insert()
        elif draw < 0.90:
            self._produce(fault_share > 0)
        elif draw < 0.93:
            self._run_tool()
        else:
            self._pass_time()

    def _pass_time(self) -> None:
        busy = (
            not self._at_peace
            or self._network
            or any(
                lane.operation for consumer in self.consumers for lane in consumer.lanes.values()
            )
        )
        self.now_s += self.random.expovariate(1.0 if busy else 0.1)
        for consumer in self.consumers:
            stopped_at_s = consumer.stopped_at_s
            if stopped_at_s is not None and self.now_s - stopped_at_s > SESSION_S:
                self.kafka.leaves(consumer.member)
        if self.hazards.stops and self.random.random() < 0.02:
            self.now_s += TIMING.deadline_s * 3 * self.random.random()

    def _deliver_message(self) -> None:
        network = self._network
        if not network:
            return
        index = self.random.randrange(len(network))
        if network[index].not_before_s > self.now_s:
            return
        network[index], network[-1] = network[-1], network[index]
        message = network.pop()
        if self.lossy and self.random.random() < 0.05:
            return
        message.arrive()
        if self.hazards.duplicates and message.life and self.random.random() < 0.05:
            network.append(message)

    def _commit_insert(self) -> None:
        running = [(s, i) for s in self.clickhouse.shards for i in s.running]
        if not running or (self.hazards.slow_commits and self.random.random() < 0.3):
            return
        shard, insert = self.random.choice(running)
        view = "ok"
        if self.hazards.views_fail and self.random.random() < 0.1:
            view = self.random.choice(("before", "after", "alone"))
        self.says(f"clickhouse commits {insert.token}: {view}")
        self.clickhouse.commits(shard, insert, self.now_s, view)

    def _produce(self, goes_on: bool) -> None:
        if not goes_on:
            return
        random = self.random
        log = self.kafka.log(self.kafka.partition(random.choice(self.kafka.numbers)))
        for _ in range(random.randint(1, 4)):
            log.records.append(
                SimRecord(
                    offset=len(log.records),
                    viewer=random.randrange(_VIEWERS),
                    needs=random.choice((1, 2, 2, 3))
                    if self.hazards.bad_records and random.random() < 0.4
                    else 1,
                    poison=self.hazards.poison and random.random() < 0.03,
                    marker=random.random() < 0.05,
                )
            )

    def _run_tool(self) -> None:
        for tool in self._tools[:1]:
            try:
                next(tool)
            except StopIteration:
                self._tools.remove(tool)

    # What goes wrong.

    def _faults_of(self, hazards: Hazards) -> list[Callable[[], None]]:
        """As often as each is listed."""
        by_switch = {
            "crashes": [self._crash] * 2,
            "stops": [self._stop] * 5 + [self._go_on] * 3,
            "rebalances": [self.kafka.rebalance, self._start_consumer, self._remove_consumer],
            "clickhouse_restarts": [self.clickhouse.restarts],
            "decoder_changes": [self._change_decoder],
            "shard_changes": [self._change_shards],
            "retention": [self._delete_records],
            "topics_made_anew": [self._make_topic_anew],
            "marks_expire": [self._lose_mark],
            "marks_set_back": [self._set_back, self._set_back],
            "foreign_commits": [self._commit_as_a_tool],
            "erasure": [self._erase],
            "expiry": [self._expire],
        }
        return [f for name, fs in by_switch.items() if getattr(hazards, name) for f in fs]

    def _start_consumer(self) -> None:
        if len(self.consumers) >= 4:
            return
        self._names += 1
        error_s = self._skew_s()
        self.consumers.append(
            Consumer(
                self,
                self._names,
                decoder=self._decoder,
                shards=self._shards,
                clock_error_s=error_s,
            )
        )
        self.says(f"{self._names} starts with decoder {self._decoder}, shards {self._shards}")

    def _remove_consumer(self) -> None:
        if len(self.consumers) > 1:
            self._kill(self.random.choice(self.consumers), leaves=True)

    def _crash(self) -> None:
        owners = [consumer for consumer in self.consumers if consumer.lanes]
        self._kill(self.random.choice(owners or self.consumers), leaves=False)
        self._start_consumer()

    def _kill(self, consumer: Consumer, *, leaves: bool) -> None:
        self.says(f"{consumer.name} is killed")
        self.consumers.remove(consumer)
        if leaves or self.random.random() < 0.5:
            self.kafka.leaves(consumer.member)
        else:
            member = consumer.member
            died_at_s = self.now_s

            def session() -> Generator[None, None, None]:
                while self.now_s - died_at_s < SESSION_S:
                    yield
                self.kafka.leaves(member)

            self._tools.insert(0, session())

    def _stop(self) -> None:
        consumer = self.random.choice(self.consumers)
        if consumer.stopped_at_s is None:
            self.says(f"{consumer.name} stops")
            consumer.stopped_at_s = self.now_s

    def _go_on(self) -> None:
        consumer = self.random.choice(self.consumers)
        if consumer.stopped_at_s is not None:
            self.says(f"{consumer.name} goes on")
            consumer.stopped_at_s = None

    def _change_decoder(self) -> None:
        self._decoder = self.random.randint(1, _DECODERS)
        self._crash()

    def _change_shards(self) -> None:
        self._shards = self.random.randint(1, len(self.clickhouse.shards))
        self._crash()

    def _delete_records(self) -> None:
        log = self.kafka.log(self._any_partition())
        log.first = self.random.randint(log.first, len(log.records))
        self.says(f"kafka deletes records before {log.first}")

    def _make_topic_anew(self) -> None:
        if self.random.random() < 0.3:
            self.kafka.make_topic()
            if self.random.random() < 0.6:
                self.kafka.marks.clear()
            self.kafka.rebalance()
            self.says(f"the topic is made anew: {self.kafka.topic_id}")

    def _lose_mark(self) -> None:
        partition = self._any_partition()
        if self._may_lose_mark(partition):
            self.says(f"the mark of {partition.number} is lost")
            self.kafka.marks.pop(partition.number, None)

    def _may_lose_mark(self, partition: Partition) -> bool:
        life = partition.topic_id, partition.number
        clickhouse = self.clickhouse
        known = (
            any(shard.rows.get(life) for shard in clickhouse.shards)
            or clickhouse.letters.get(life)
            or clickhouse.ledger.get(life)
        )
        return bool(known) or not self.build.assumes_quiet or self._is_quiet(life)

    def _set_back(self) -> None:
        partition = self._any_partition()
        number = partition.number
        older = [r for r in self.kafka.accepted[-12:] if r.number == number]
        life = partition.topic_id, number
        if older and (not self.build.assumes_quiet or self._is_quiet(life)):
            request = self.random.choice(older)
            self.says(f"the mark of {number} is set back to {request.offset} {request.metadata}")
            self.kafka.marks[number] = request.offset, request.metadata

    def _commit_as_a_tool(self) -> None:
        partition = self._any_partition()
        if self._may_lose_mark(partition) and self._is_quiet(
            (partition.topic_id, partition.number)
        ):
            end = len(self.kafka.log(partition).records)
            self.kafka.marks[partition.number] = self.random.randint(0, end), ""
            self.says(f"a tool commits for {partition.number}")

    def _erase(self) -> None:
        if len(self._tools) < 3:
            self._tools.append(self._erasure(self.random.randrange(_VIEWERS)))

    def _erasure(self, viewer: int) -> Generator[None, None, None]:
        clickhouse = self.clickhouse
        clickhouse.erased_viewers.add(viewer)
        known_s = self.now_s
        self.says(f"viewer {viewer} is erased")
        yield
        clickhouse.erases([viewer])
        if not self.build.second_sweep:
            return
        quiet_at_s = known_s + REFRESH_S + TIMING.deadline_s + 2 + 4 * MOST_SKEW_S
        while self.now_s < quiet_at_s or any(shard.running for shard in clickhouse.shards):
            yield
        clickhouse.erases([viewer])

    def _expire(self) -> None:
        partition = self._any_partition()
        end = len(self.kafka.log(partition).records)
        before = self.random.randint(0, end)
        self.says(f"rows before {before} expire")
        self.clickhouse.expires((partition.topic_id, partition.number), before)

    def _any_partition(self) -> Partition:
        return self.kafka.partition(self.random.choice(self.kafka.numbers))

    def _skew_s(self) -> float:
        return self.random.uniform(-MOST_SKEW_S, MOST_SKEW_S) if self.hazards.skewed_clocks else 0

    def _is_quiet(self, life: Life) -> bool:
        """Whether nothing of the partition is in flight, at a zombie's either."""
        return not (
            self.clickhouse.is_running(life)
            or any(message.life == life for message in self._network)
            or any(
                lane.life == life and isinstance(lane.course.phase, Declaring | Delivering)
                for consumer in self.consumers
                for lane in consumer.lanes.values()
            )
        )

    # What consumers tell.

    def send(self, arrive: Callable[[], None], *, life: Life | None = None) -> None:
        """Put a request on the network."""
        delay_s = 0.0
        if self.hazards.delays and self.random.random() < 0.15:
            delay_s = self.random.expovariate(1 / self.random.choice((3, 25)))
        self._network.append(Message(arrive, life, self.now_s + delay_s))

    def committed(self, request: Request) -> None:
        """All before the mark must be accounted for."""
        mark = decode_metadata(request.offset, request.metadata)
        if not isinstance(mark, Mark):
            raise Violation(f"metadata cannot be read: {request}")
        self.says(f"committed {mark}")
        life = mark.topic_id, request.number
        done = self._accounted.get(life, 0)
        if mark.offset <= done:
            return
        log = self.kafka.logs[life]
        clickhouse, gaps = self.clickhouse, self._gaps.get(life, set())
        for record in log.records[done : mark.offset]:
            if record.marker or record.offset in gaps:
                continue
            if not clickhouse.covers(life, record.offset):
                raise Violation(f"{life} {record.offset} is lost: the mark is {mark.offset}")
            if record.offset not in clickhouse.ledger.get(life, ()):
                self._check_mart(life, record.offset)
        self._accounted[life] = mark.offset

    def skipped(self, life: Life, start: int, end: int) -> None:
        """A gap must be one."""
        if end > self.kafka.logs[life].first:
            raise Violation(f"{life}: [{start}, {end}) was skipped, Kafka has some of it")
        self._gaps.setdefault(life, set()).update(range(start, end))

    def must_be_looked_at(self, consumer: Consumer, partition: Partition, sentence: str) -> None:
        """What the documentation tells people to do."""
        if "is not ours" not in sentence:
            raise Violation(f"stopped: {sentence}")
        if self._may_lose_mark(partition):
            self.kafka.marks.pop(partition.number, None)
            self._kill(consumer, leaves=True)
            self._start_consumer()

    def says(self, text: str) -> None:
        """Add to the trace."""
        if self._trace is not None:
            self._trace(f"{self.steps} {self.now_s:.1f} {text}")

    # The end.

    def _make_peace(self) -> None:
        self.says("peace")
        self.lossy = False
        self.hazards = Hazards.none()
        self._at_peace = True
        for consumer in self.consumers:
            consumer.stopped_at_s = None

    def _is_done(self) -> bool:
        if self._network or self._tools or any(s.running for s in self.clickhouse.shards):
            return False
        for number in self.kafka.numbers:
            mark = self.kafka.mark(number)
            end = len(self.kafka.log(self.kafka.partition(number)).records)
            if end == 0:
                continue
            if (
                not isinstance(mark, Mark)
                or mark.topic_id != self.kafka.topic_id
                or mark.offset < end
                or mark.intent is not None
            ):
                return False
        return True

    def _audit(self) -> None:
        clickhouse = self.clickhouse
        for life, log in self.kafka.logs.items():
            rows = clickhouse.rows_of(life)
            letters = clickhouse.letters.get(life, set())
            ledger = clickhouse.ledger.get(life, set())
            expired = clickhouse.expired.get(life, set())
            gaps = self._gaps.get(life, set())
            for record in log.records[: self._accounted.get(life, 0)]:
                offset = record.offset
                times = (offset in rows) + (offset in letters) + (offset in ledger)
                if record.marker or (times == 0 and (offset in gaps or offset in expired)):
                    continue
                if times != 1:
                    raise Violation(f"{life} {offset} is there {times} times")
            for offset in [o for o in rows if o < self._accounted.get(life, 0)]:
                self._check_mart(life, offset)
            for shard in clickhouse.shards:
                for offset in shard.marts.get(life, ()):
                    if offset < self._accounted.get(life, 0) and not any(
                        offset in known for known in (rows, expired, letters, gaps)
                    ):
                        raise Violation(f"{life} {offset} is in the marts and not in the rows")

    def _check_mart(self, life: Life, offset: int) -> None:
        for shard in self.clickhouse.shards:
            if offset in shard.rows.get(life, ()) and offset not in shard.marts.get(life, ()):
                raise Violation(f"{life} {offset} is in the rows and not in the marts")
