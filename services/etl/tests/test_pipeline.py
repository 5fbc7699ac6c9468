"""The loop over stores in memory, with a clock and threads that the test moves."""

from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import replace

import numpy as np
import pytest
from samples import NOW_MS, partition, view, views
from ugc_etl.adapters.memory import (
    MemoryDeadLetters,
    MemoryLetterBox,
    MemoryOffsetLog,
    MemorySource,
    MemoryTables,
)
from ugc_etl.backoff import Backoff
from ugc_etl.batch import BatchPolicy, month_of
from ugc_etl.dead_letter_limit import DeadLetterLimit
from ugc_etl.delivery import Deliverer, Route
from ugc_etl.erasure import ErasedViewers
from ugc_etl.metrics import Metrics
from ugc_etl.performer import Performer
from ugc_etl.pipeline import Pipeline, PipelineOptions, Runtime
from ugc_etl.ports import DataRefusedError, OutcomeUnknownError, RefusedError
from ugc_etl.probes import Health
from ugc_etl.protocol import Intent, Mark, Rules, Timing, decode_metadata
from ugc_etl.pseudonym import viewers
from ugc_events.registry import VIEWS

ONE, TWO = partition(0), partition(1)


class HandExecutor(Executor):
    """Runs what was submitted when the test says so."""

    def __init__(self):
        self.tasks = deque()

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.tasks.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run_next(self):
        future, task = self.tasks.popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(task())
        except (OutcomeUnknownError, RefusedError) as error:
            future.set_exception(error)

    def run_all(self):
        while self.tasks:
            self.run_next()


class Bench:
    """A pipeline and everything around it."""

    def __init__(self, policy=BatchPolicy(), shards=1, **options):  # noqa: B008
        self.now_s = 1000.0
        self.source = MemorySource()
        self.log = MemoryOffsetLog()
        self.tables = MemoryTables()
        self.letters = MemoryDeadLetters()
        self.executors = [HandExecutor() for _ in range(shards)]
        self.executor = self.executors[0]
        self.metrics = Metrics()
        self.health = Health(lambda: self.now_s, 30)
        self.waits = []
        # What happens while the pipeline waits within a callback.
        self.on_wait = lambda: None
        letter_box = MemoryLetterBox(self.letters, self.source)
        deliverer = Deliverer(
            routes={ONE.topic: Route(VIEWS, "ugc.views")},
            writer_of=lambda _: self.tables,
            tables=self.tables,
            dead_letters=self.letters,
            letter_box=letter_box,
            limit=DeadLetterLimit(letters=20),
            pseudonym_key=b"k" * 16,
            wall_s=lambda: NOW_MS / 1000 + 1,
            monotonic_s=lambda: self.now_s,
        )
        self.pipeline = Pipeline(
            source=self.source,
            offset_log=self.log,
            sink_clock=self.tables,
            deliverer=deliverer,
            performer=Performer(deliverer=deliverer, tables=self.tables, letter_box=letter_box),
            rules=Rules(timing=Timing(deadline_s=60), decoder="d", shards=shards),
            policy=policy,
            options=replace(PipelineOptions(backoff=Backoff(1.0, 8.0)), **options),
            runtime=Runtime(
                monotonic_s=lambda: self.now_s,
                wall_s=lambda: NOW_MS / 1000 + 1,
                random=lambda: 0.0,
                wait=self._wait,
                executor_of=lambda shard: self.executors[shard],
            ),
            metrics=self.metrics,
            health=self.health,
        )
        self.source.subscribe(self.pipeline)

    def assign(self, *partitions):
        """A rebalance, and all that comes before the first record is read."""
        self.source.assign(*partitions)
        self.source.pause(partitions)
        for _ in range(3):
            self.turn()
            self.executor.run_all()
        self.turn()
        self.source.resume(partitions)

    def _wait(self, attempts, timeout_s):
        self.waits.append(len(attempts))
        self.now_s += timeout_s
        self.on_wait()

    def turn(self, seconds=0.0):
        self.now_s += seconds
        self.pipeline.turn()

    def settle(self, turns=6):
        """Let everything that is there pass."""
        for _ in range(turns):
            self.turn(1.0)
            self.executor.run_all()
        self.turn()

    def marks(self):
        """What is done, where anything is."""
        return {p: offset for p, (offset, _) in self.log.recorded.items() if offset}

    def mark(self, partition=ONE):
        return decode_metadata(*self.log.recorded[partition])

    def ranges(self, blocks):
        return [token.split(":")[2] for _, token, _ in blocks]

    def metric(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def views_at(count, timestamp_ms=NOW_MS):
    return [(timestamp_ms, value) for value in views(count)]


def test_records_become_rows_under_their_token_and_are_committed_after_that():
    bench = Bench()
    bench.source.append(ONE, views_at(3))
    bench.assign(ONE)
    bench.turn()
    assert not bench.executor.tasks  # young
    bench.turn(0.5)
    assert bench.marks() == {}
    bench.executor.run_next()
    assert [(table, token, block.rows) for table, token, block in bench.tables.inserted] == [
        ("ugc.views", f"{ONE.topic_id}:0:0-3:ugc.views:0:0", 3)
    ]
    assert bench.marks() == {}
    bench.turn()
    assert bench.marks() == {ONE: 3}
    assert bench.metric("etl_rows_total", family="views") == 3
    assert bench.metric("etl_freshness_seconds_bucket", family="views", le="1.0") == 3
    assert bench.metric("etl_freshness_seconds_bucket", family="views", le="0.75") == 0


def test_a_partition_has_one_batch_in_flight_and_partitions_overlap():
    bench = Bench(BatchPolicy(max_rows=2))
    bench.source.append(ONE, views_at(5))
    bench.source.append(TWO, views_at(2))
    bench.assign(ONE, TWO)
    bench.turn()
    assert len(bench.executor.tasks) == 2
    bench.turn()
    assert len(bench.executor.tasks) == 2
    bench.settle()
    ranges = [token.split(":")[1:3] for _, token, _ in bench.tables.inserted]
    assert [r for r in ranges if r[0] == "0"] == [["0", "0-2"], ["0", "2-4"], ["0", "4-5"]]
    assert bench.marks() == {ONE: 5, TWO: 2}


def test_a_batch_ends_with_the_month():
    bench = Bench()
    month_end = month_of(NOW_MS)[1]
    bench.source.append(ONE, views_at(2, month_end - 1) + views_at(2, month_end))
    bench.assign(ONE)
    bench.settle()
    assert [token.split(":")[2] for _, token, _ in bench.tables.inserted] == ["0-2", "2-4"]


def test_poison_goes_to_the_dead_letters_one_by_one_and_the_rest_to_the_table():
    bench = Bench()
    good = views(2)
    values = [b"{", good[0], None, b"[]", good[1]]
    bench.source.append(ONE, [(NOW_MS, value) for value in values])
    bench.assign(ONE)
    bench.settle()
    assert sorted(offset for _, _, offset in bench.letters.letters) == [0, 2, 3]
    [(_, token, block)] = bench.tables.inserted
    assert token.split(":")[2] == "0-5"
    assert block.rows == 2
    assert bench.marks() == {ONE: 5}
    assert bench.metric("etl_dead_letters_total", family="views", reason="not_json") == 2


def test_a_batch_of_poison_alone_is_committed_without_an_insert():
    bench = Bench()
    bench.source.append(ONE, [(NOW_MS, b"{")])
    bench.assign(ONE)
    bench.settle()
    assert bench.tables.sent == []
    assert len(bench.letters.letters) == 1
    assert bench.marks() == {ONE: 1}


def test_nothing_is_inserted_or_committed_before_the_dead_letters_are_acknowledged():
    bench = Bench()
    bench.letters.failures.extend([OutcomeUnknownError("no broker")] * 2)
    bench.source.append(ONE, [(NOW_MS, b"{"), *views_at(1)])
    bench.assign(ONE)
    bench.turn()
    bench.turn(1)
    bench.executor.run_all()
    bench.turn()
    assert (bench.tables.sent, bench.marks(), bench.letters.letters) == ([], {}, {})
    bench.settle()
    assert len(bench.letters.letters) == 1
    assert len(bench.tables.inserted) == 1
    assert bench.marks() == {ONE: 2}
    assert bench.metric("etl_retries_total", step="deliver") == 2


def test_an_unknown_outcome_repeats_the_same_token_while_the_partition_is_paused():
    bench = Bench()
    bench.tables.late_failures.append(OutcomeUnknownError("reset"))  # it landed
    bench.tables.failures.append(OutcomeUnknownError("no route"))
    bench.source.append(ONE, views_at(2))
    bench.source.append(TWO, views_at(1))
    bench.assign(ONE)
    bench.turn()
    bench.turn(0.5)
    bench.executor.run_all()
    bench.turn()
    assert bench.source.paused == {ONE}
    assert not bench.executor.tasks
    bench.turn(0.4)
    assert not bench.executor.tasks  # the delay is half a second
    bench.source.append(ONE, views_at(4))
    bench.settle()
    assert bench.source.paused == set()
    tokens = [token.split(":")[2] for _, token, _ in bench.tables.sent]
    assert tokens == ["0-2", "0-2", "0-2", "2-6"]
    assert [token.split(":")[2] for _, token, _ in bench.tables.inserted] == ["0-2", "2-6"]
    assert bench.marks() == {ONE: 6}


def test_an_outage_longer_than_the_deadline_is_settled_and_declared_anew():
    bench = Bench()
    bench.source.append(ONE, views_at(1))
    bench.assign(ONE)
    bench.tables.failures.append(OutcomeUnknownError("down"))
    bench.turn()
    bench.turn(0.5)
    bench.executor.run_all()
    bench.turn()
    first = bench.mark().intent
    assert first.insert_by_s == 1_800_000_060
    bench.tables.clock_s += 56
    bench.turn(1)
    assert not bench.executor.tasks  # too late to send, too early to ask
    bench.tables.clock_s += 6
    bench.tables.answers.append(OutcomeUnknownError("still down"))
    bench.turn(1)
    bench.executor.run_all()
    bench.settle()
    assert bench.marks() == {ONE: 1}
    assert [token.rsplit(":", 1)[1] for _, token, _ in bench.tables.sent] == ["0", "1"]
    assert len(bench.tables.inserted) == 1


def test_what_landed_without_an_answer_is_found_and_its_marts_are_rebuilt():
    bench = Bench()
    bench.source.append(ONE, views_at(2))
    bench.assign(ONE)
    bench.tables.late_failures.append(OutcomeUnknownError("reset"))
    bench.turn()
    bench.turn(0.5)
    bench.executor.run_all()
    bench.tables.clock_s += 62
    bench.settle()
    assert bench.marks() == {ONE: 2}
    assert bench.tables.rebuilt == [(ONE.topic_id, 0, 0, 2)]
    assert len(bench.tables.sent) == 1


def test_a_running_insert_is_killed_before_its_batch_is_declared_anew():
    bench = Bench()
    bench.source.append(ONE, views_at(2))
    bench.assign(ONE)
    bench.tables.failures.append(OutcomeUnknownError("reset"))
    bench.turn()
    bench.turn(0.5)
    bench.executor.run_all()
    bench.tables.running.append(f"{ONE.topic_id}:0:0-2:ugc.views:0:0")
    bench.tables.clock_s += 62
    bench.settle(turns=8)
    assert bench.tables.running == []
    assert bench.marks() == {ONE: 2}


def declared(end, *, partition=ONE, start=0, insert_by_s=1_800_000_060, **more):
    intent = Intent(
        start=start, end=end, attempt=0, shard=0, table="ugc.views", decoder="d",
        insert_by_s=insert_by_s,
    )  # fmt: skip
    return Mark(
        topic_id=partition.topic_id,
        offset=start,
        decoder="d",
        intent=replace(intent, **more),
    )


def test_a_pending_intent_is_sent_again_with_its_own_bounds_token_and_deadline():
    bench = Bench(BatchPolicy(max_rows=2))
    bench.source.append(ONE, views_at(7))
    bench.log.record({ONE: declared(5)})
    bench.assign(ONE)
    bench.settle(turns=8)
    assert bench.ranges(bench.tables.inserted) == ["0-5", "5-7"]
    assert [block.rows for _, _, block in bench.tables.inserted] == [5, 2]
    deadlines = [block.columns[-1].data[:4] for _, _, block in bench.tables.inserted]
    assert int.from_bytes(deadlines[0], "little") == 1_800_000_060
    assert bench.marks() == {ONE: 7}


def test_a_pending_intent_that_is_too_late_is_not_sent_but_declared_anew():
    bench = Bench()
    bench.source.append(ONE, views_at(7))
    bench.log.record({ONE: declared(5, insert_by_s=1_799_999_000)})
    bench.assign(ONE)
    bench.settle(turns=8)
    assert bench.ranges(bench.tables.inserted) == ["0-5", "5-7"]
    assert [token.rsplit(":", 1)[1] for _, token, _ in bench.tables.inserted] == ["1", "0"]


def test_a_pending_intent_goes_on_also_where_memory_is_full():
    bench = Bench(max_buffered_bytes=100)
    bench.source.poll_max_records = 3
    for where in (ONE, TWO):
        bench.source.append(where, views_at(6))
        bench.log.record({where: declared(6, partition=where)})
    bench.assign(ONE, TWO)
    bench.settle(turns=12)
    assert bench.marks() == {ONE: 6, TWO: 6}


def test_rows_without_a_mark_are_not_inserted_again():
    bench = Bench(BatchPolicy(max_rows=2))
    bench.source.append(ONE, views_at(4))
    bench.assign(ONE)
    bench.settle()
    assert bench.marks() == {ONE: 4}
    bench.source.revoke(ONE)
    bench.log.recorded.clear()
    bench.source.append(ONE, views_at(1))
    bench.assign(ONE)
    assert not bench.executor.tasks  # grows quiet
    bench.tables.clock_s += 80
    bench.settle(turns=10)
    assert bench.marks() == {ONE: 5}
    assert sum(block.rows for _, _, block in bench.tables.inserted) == 5


def test_a_committed_offset_of_another_tool_stops_the_process():
    bench = Bench()
    bench.source.append(ONE, views_at(4))
    bench.log.recorded[ONE] = (3, "")
    with pytest.raises(RefusedError, match="Delete the group's offset"):
        bench.assign(ONE)


def test_records_that_clickhouse_refuses_are_found_and_become_dead_letters():
    bench = Bench()
    poison = {3, 12}

    class Picky(type(bench.tables)):
        def insert(self, table, block, token):
            start, end = map(int, token.split(":")[2].split("-"))
            if poison & set(range(start, end)):
                raise DataRefusedError("TYPE_MISMATCH")
            super().insert(table, block, token)

    bench.tables.__class__ = Picky
    bench.source.append(ONE, views_at(20))
    bench.assign(ONE)
    for _ in range(120):
        bench.tables.clock_s += 3
        bench.turn(1.0)
        bench.executor.run_all()
    assert bench.marks() == {ONE: 20}
    assert {offset for _, _, offset in bench.letters.letters} == poison
    assert {letter.reason.value for letter in bench.letters.letters.values()} == {
        "refused_by_store"
    }
    assert sum(block.rows for _, _, block in bench.tables.inserted) == 18


def test_records_of_erased_viewers_go_to_the_ledger():
    bench = Bench()
    bench.source.append(ONE, views_at(10))
    keyed = viewers(np.frombuffer(view(0).user_id.bytes, np.uint8).reshape(1, 16), b"k" * 16)
    bench.tables.erased = ErasedViewers.of([(int(keyed[0]), NOW_MS + 1)])
    bench.assign(ONE)
    bench.settle()
    assert bench.tables.ledger == {(ONE.topic_id, 0, 0), (ONE.topic_id, 0, 5)}
    assert bench.tables.inserted[0][2].rows == 8
    assert bench.marks() == {ONE: 10}


def test_an_unconfirmed_commit_is_repeated_and_nothing_follows_before_it():
    bench = Bench(BatchPolicy(max_rows=1))
    bench.source.append(ONE, views_at(2))
    bench.assign(ONE)
    bench.turn()
    bench.executor.run_all()
    bench.log.failures.append(OutcomeUnknownError("timed out"))
    bench.turn()
    assert bench.marks() == {}
    assert not bench.executor.tasks
    bench.settle()
    assert len(bench.tables.sent) == 2
    assert bench.marks() == {ONE: 2}
    assert bench.metric("etl_retries_total", step="commit") == 1


def test_a_refusal_stops_the_process_with_the_reason_and_commits_nothing():
    bench = Bench()
    bench.tables.failures.append(RefusedError("no such column"))
    bench.source.append(ONE, views_at(1))
    bench.assign(ONE)
    bench.turn()
    bench.turn(0.5)
    bench.executor.run_all()
    with pytest.raises(RefusedError, match="no such column"):
        bench.turn()
    assert bench.marks() == {}


def test_too_much_poison_stops_the_process_and_leaves_the_records_in_kafka():
    bench = Bench()
    bench.source.append(ONE, [(NOW_MS, b"{")] * 21)
    bench.assign(ONE)
    bench.turn()
    bench.turn(0.5)
    bench.executor.run_all()
    with pytest.raises(RefusedError, match=r"more than 20 records of ugc\.views\.v1\[0\]"):
        bench.turn()
    assert bench.letters.letters == {}
    assert bench.marks() == {}


def test_a_revoked_partition_finishes_its_flight_and_drops_the_rest():
    bench = Bench(BatchPolicy(max_rows=2))
    bench.source.append(ONE, views_at(5))
    bench.source.append(TWO, views_at(2))
    bench.assign(ONE, TWO)
    bench.turn()
    bench.on_wait = bench.executor.run_next
    bench.source.revoke(ONE)
    assert bench.marks() == {ONE: 2}
    bench.settle()
    assert bench.marks() == {ONE: 2, TWO: 2}
    # Its next owner reads the rest.
    bench.assign(ONE)
    bench.settle()
    assert bench.marks() == {ONE: 5, TWO: 2}
    rows = sum(block.rows for _, _, block in bench.tables.inserted)
    assert rows == 7


def test_a_flight_repeats_within_the_grace_of_a_revocation():
    bench = Bench(BatchPolicy(max_rows=2))
    bench.tables.failures.extend([OutcomeUnknownError("down")] * 2)
    bench.source.append(ONE, views_at(2))
    bench.assign(ONE)
    bench.turn()
    bench.on_wait = bench.executor.run_all
    bench.source.revoke(ONE)
    assert bench.marks() == {ONE: 2}
    assert len(bench.tables.sent) == 3


def test_a_flight_that_does_not_land_in_time_is_given_up_without_a_commit(caplog):
    bench = Bench(BatchPolicy(max_rows=2), grace_s=5.0)
    bench.source.append(ONE, views_at(2))
    bench.assign(ONE)
    bench.turn()
    before_s = bench.now_s
    bench.source.revoke(ONE)
    assert bench.now_s - before_s == pytest.approx(5.0)
    assert "gave up offsets 0 to 1" in caplog.text
    bench.executor.run_all()  # cancelled: it never reaches the table
    bench.turn()
    assert bench.tables.sent == []
    assert bench.marks() == {}


def test_a_lost_partition_is_dropped_at_once_and_never_committed():
    bench = Bench(BatchPolicy(max_rows=2))
    bench.source.append(ONE, views_at(3))
    bench.assign(ONE)
    bench.turn()
    bench.source.lose(ONE)
    assert bench.waits == []
    bench.settle()
    assert bench.marks() == {}


def test_a_fresh_partition_starts_at_the_earliest_record_and_a_known_one_at_its_mark():
    bench = Bench()
    bench.source.append(ONE, views_at(5))
    bench.source.append(TWO, views_at(5))
    bench.log.record({ONE: Mark(topic_id=ONE.topic_id, offset=3, decoder="d")})
    bench.source.first_offsets[TWO] = 2
    bench.assign(ONE, TWO)
    bench.settle()
    tokens = [token.split(":")[1:3] for _, token, _ in bench.tables.inserted]
    assert tokens == [["0", "3-5"], ["1", "2-5"]]


def test_records_that_kafka_deleted_before_they_were_read_are_reported(caplog):
    bench = Bench()
    bench.source.append(ONE, views_at(9))
    bench.source.first_offsets[ONE] = 6
    bench.log.record({ONE: Mark(topic_id=ONE.topic_id, offset=2, decoder="d")})
    bench.assign(ONE)
    bench.settle()
    assert "has deleted offsets 2 to 5, 4 of them" in caplog.text
    assert bench.metric("etl_lost_offsets_total", topic=ONE.topic, partition="0") == 4
    assert [token.split(":")[2] for _, token, _ in bench.tables.inserted] == ["6-9"]


def test_an_assignment_insists_on_the_marks_until_there_is_an_answer():
    bench = Bench()
    bench.log.failures.extend([OutcomeUnknownError("no coordinator")] * 20)
    bench.source.assign(ONE)
    assert bench.waits == [0] * 20
    assert bench.health.alive()[0]


def test_a_stop_ends_a_question_that_nobody_answers():
    bench = Bench()
    bench.log.failures.extend([OutcomeUnknownError("no coordinator")] * 50)
    turns = iter([False, False, False, True])

    def poll(timeout_s):
        bench.source.assign(ONE)
        raise AssertionError("not reached")

    bench.source.poll = poll
    bench.pipeline.run(lambda: next(turns))
    assert bench.waits == [0, 0]
    assert bench.marks() == {}


def test_a_source_that_goes_backward_stops_the_process():
    bench = Bench()
    bench.source.append(ONE, views_at(3))
    bench.assign(ONE)
    bench.turn()
    bench.source.rewind(ONE, 1)
    with pytest.raises(RefusedError, match="again from 1"):
        bench.turn()


def test_reading_stops_while_memory_is_full_and_goes_on_when_there_is_room():
    bench = Bench(max_buffered_bytes=1000)
    bench.source.append(ONE, views_at(10))
    bench.source.append(TWO, views_at(1))
    bench.assign(ONE, TWO)
    bench.turn()
    assert bench.source.paused == {ONE, TWO}
    bench.settle()
    assert bench.source.paused == set()
    assert bench.marks() == {ONE: 10, TWO: 1}


def test_a_slow_sink_holds_back_its_partition_only():
    bench = Bench(BatchPolicy(max_rows=1), max_buffered_bytes=6000)
    bench.source.append(ONE, views_at(20))
    bench.source.append(TWO, views_at(1))
    bench.assign(ONE, TWO)
    bench.turn()
    assert bench.source.paused == {ONE}
    bench.settle(turns=25)
    assert bench.source.paused == set()
    assert bench.marks() == {ONE: 20, TWO: 1}


def test_a_shard_that_hangs_does_not_hold_back_the_other():
    bench = Bench(BatchPolicy(max_rows=2), shards=2)
    bench.assign(ONE, TWO)
    bench.executors[1].run_all()
    bench.source.append(ONE, views_at(6))
    bench.source.append(TWO, views_at(6))
    bench.settle()
    assert bench.marks() == {ONE: 6}
    assert len(bench.executors[1].tasks) == 1


def test_a_shard_that_is_down_does_not_hold_back_the_other(caplog):
    bench = Bench(BatchPolicy(max_rows=4), shards=2, max_buffered_bytes=8000)
    on_first = [partition(number) for number in (0, 2, 4)]
    on_second = [partition(number) for number in (1, 3, 5)]

    class Halved(type(bench.tables)):
        def insert(self, table, block, token):
            if int(token.split(":")[1]) % 2:
                raise OutcomeUnknownError("the second shard is down")
            super().insert(table, block, token)

    bench.tables.__class__ = Halved
    bench.source.poll_max_records = 10
    for where in on_first + on_second:
        bench.source.append(where, views_at(40))
    bench.executors[1] = bench.executor
    bench.assign(*on_first, *on_second)
    bench.settle(turns=55)
    assert bench.marks() == dict.fromkeys(on_first, 40)
    assert bench.source.paused == set(on_second)
    # What the other takes does not end the outage: one line a minute.
    assert caplog.text.count("shard 1 does not take batches") == 1


def test_intents_taken_over_stay_within_memory_while_the_sink_is_down():
    bench = Bench(max_buffered_bytes=3000)
    bench.source.poll_max_records = 1
    partitions = [partition(number) for number in range(12)]
    for where in partitions:
        bench.source.append(where, views_at(6))
        bench.log.record({where: declared(6, partition=where)})
    bench.tables.failures.extend([OutcomeUnknownError("down")] * 1000)
    read = []
    poll = bench.source.poll
    bench.source.poll = lambda timeout_s: [read.append(polled) or polled for polled in poll(0)]
    bench.assign(*partitions)
    bench.settle(turns=80)
    assert 6 <= len(read) < 36
    bench.tables.failures.clear()
    bench.tables.clock_s += 70
    bench.settle(turns=150)
    assert bench.marks() == dict.fromkeys(partitions, 6)


def test_a_stop_finishes_what_is_in_flight_and_leaves():
    bench = Bench(BatchPolicy(max_rows=2))
    bench.source.append(ONE, views_at(3))
    turns = iter([False, False, True])

    def stopped():
        if not bench.source.ends():
            bench.assign(ONE)
        return next(turns)

    bench.on_wait = bench.executor.run_all
    bench.pipeline.run(stopped)
    assert bench.marks() == {ONE: 2}
    assert bench.source.ends() == {}


def test_lag_is_what_is_not_committed_and_the_loop_is_alive():
    bench = Bench()
    bench.source.append(ONE, views_at(7))
    bench.assign(ONE)
    bench.turn()
    assert bench.metric("etl_lag_records", topic=ONE.topic, partition="0") == 7
    bench.settle()
    bench.turn(1.0)
    assert bench.metric("etl_lag_records", topic=ONE.topic, partition="0") == 0
    assert bench.health.alive()[0]
    bench.now_s += 31
    assert not bench.health.alive()[0]


def test_partitions_without_records_are_not_asked_at_every_turn():
    bench = Bench(BatchPolicy(max_rows=2))
    partitions = [partition(number) for number in range(20)]
    bench.assign(*partitions)
    bench.settle()
    bench.source.append(ONE, views_at(2))
    asked = []

    def now_s():
        asked.append(bench.now_s)
        return bench.tables.clock_s

    bench.tables.now_s = now_s
    bench.turn(0.01)
    assert 0 < len(asked) < len(partitions)
    bench.executor.run_all()
    bench.turn(0.01)
    assert bench.marks() == {ONE: 2}


def test_the_mark_of_a_partition_that_rests_is_refreshed():
    bench = Bench()
    bench.assign(ONE, TWO)
    bench.settle()
    bench.log.recorded.clear()
    bench.turn(1.0)
    assert not bench.log.recorded
    bench.tables.clock_s += Timing(deadline_s=60).refresh_s
    bench.turn(1.0)
    assert set(bench.log.recorded) == {ONE, TWO}
