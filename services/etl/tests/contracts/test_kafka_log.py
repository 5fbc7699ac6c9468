"""What the operators' commands may expect of Kafka, of the real one and of the one in memory."""

import socket
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from stores import create_topics, eventually, new_prefix
from ugc_etl.adapters.kafka_tools import KafkaTools
from ugc_etl.operations.memory import MemoryKafkaLog
from ugc_etl.operations.ports import StoredRecord
from ugc_etl.ports import OutcomeUnknownError, RefusedError
from ugc_etl.protocol.intent import Foreign, Intent, Mark
from ugc_etl.protocol.metadata import encode_metadata
from ugc_etl.records import Partition
from ugc_events import DeadLetter, Reason
from ugc_events.registry import DEAD_LETTER_GRACE_MS

NOW_MS = 1_790_000_000_000
TOPIC_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"


def letter(offset, value=b"{"):
    return DeadLetter(
        topic="ugc.views.v1", topic_id=TOPIC_ID, partition=1, offset=offset, key=b"k", value=value,
        headers=[("h", b"v")], timestamp_ms=NOW_MS, field="", reason=Reason.NOT_JSON,
        detail="no JSON", first_seen_ms=NOW_MS,
    )  # fmt: skip


@dataclass
class InMemory:
    log: MemoryKafkaLog = field(default_factory=MemoryKafkaLog)
    views: str = "ugc.views.v1"
    dead_letters: str = "ugc.dead-letters.v1"
    group: str = "etl"

    def __post_init__(self):
        for number in range(2):
            self.log.logs[Partition(self.views, TOPIC_ID, number)] = []

    def write(self, number, values):
        """In one transaction, so that the offset behind them has no record."""
        partition = Partition(self.views, TOPIC_ID, number)
        start = self.log.bounds([partition])[partition][1]
        self.log.logs[partition] += [
            StoredRecord(start + n, NOW_MS + n, b"k", value, ()) for n, value in enumerate(values)
        ]
        self.log.ends[partition] = start + len(values) + 1

    def commit(self, partition, mark):
        found = mark if isinstance(mark, Mark) else Foreign(mark, "some other tool")
        self.log.committed.setdefault(self.group, {})[partition] = found


@dataclass
class Real:
    kafka: Any
    log: KafkaTools
    prefix: str

    def __post_init__(self):
        self.views = f"{self.prefix}ugc.views.v1"
        self.dead_letters = f"{self.prefix}ugc.dead-letters.v1"
        self.group = f"{self.prefix}etl"
        self.connection = {"bootstrap.servers": self.kafka.bootstrap_servers}

    def write(self, number, values):
        producer = Producer({**self.connection, "transactional.id": f"{self.prefix}t"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for n, value in enumerate(values):
            producer.produce(self.views, value, b"k", number, timestamp=NOW_MS + n)
        partition = self.log.partitions([self.views])[number]
        end = self.log.bounds([partition])[partition][1] + len(values) + 1
        producer.commit_transaction(30)
        # The marker comes a little later than the answer.
        eventually(lambda: self.log.bounds([partition])[partition][1] == end)

    def commit(self, partition, mark):
        consumer = Consumer({**self.connection, "group.id": self.group})
        metadata = encode_metadata(mark) if isinstance(mark, Mark) else ""
        offset = mark.offset if isinstance(mark, Mark) else mark
        place = TopicPartition(partition.topic, partition.number, offset, metadata)
        consumer.commit(offsets=[place], asynchronous=False)
        consumer.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def world(request):
    if request.param == "memory":
        yield InMemory()
        return
    kafka, prefix = request.getfixturevalue("kafka"), new_prefix()
    create_topics(kafka, prefix, partitions=2)
    log = KafkaTools({"bootstrap.servers": kafka.bootstrap_servers})
    yield Real(kafka, log, prefix)
    log.close()


def test_partitions_carry_the_id_of_their_topic(world):
    found = world.log.partitions([world.views, "not-there"])
    assert [(p.topic, p.number) for p in found] == [(world.views, 0), (world.views, 1)]
    assert len({p.topic_id for p in found}) == 1
    assert world.log.partitions(["not-there"]) == []


def test_records_are_read_by_range_and_markers_are_none(world):
    first, second = world.log.partitions([world.views])
    world.write(0, [b"a", b"b", None])
    world.write(0, [b"c"])
    assert world.log.bounds([first, second]) == {first: (0, 6), second: (0, 0)}
    read = list(world.log.read(first, 0, 6))
    assert [(r.offset, r.timestamp_ms, r.key, r.value) for r in read] == [
        (0, NOW_MS, b"k", b"a"),
        (1, NOW_MS + 1, b"k", b"b"),
        (2, NOW_MS + 2, b"k", None),
        (4, NOW_MS, b"k", b"c"),
    ]
    assert [r.offset for r in world.log.read(first, 1, 3)] == [1, 2]
    assert [r.offset for r in world.log.read(first, 3, 100)] == [4]
    assert list(world.log.read(first, 5, 6)) == []
    assert list(world.log.read(second, 0, 1)) == []


def test_times_are_found(world):
    first, second = world.log.partitions([world.views])
    world.write(0, [b"a", b"b", b"c"])
    assert world.log.at_time([first, second], NOW_MS + 1) == {first: 1, second: 0}
    assert world.log.at_time([first], 2 * NOW_MS) == {first: 4}


def test_marks_are_what_the_group_has_committed(world):
    first, second = world.log.partitions([world.views])
    intent = Intent(
        start=7, end=9, attempt=0, shard=0, table="ugc.views", decoder="1", insert_by_s=5
    )
    mark = Mark(topic_id=first.topic_id, offset=7, decoder="1", intent=intent)
    assert world.log.marks(world.group, [first, second]) == {}
    world.commit(first, mark)
    assert world.log.marks(world.group, [first, second]) == {first: mark}
    world.commit(second, 3)
    assert isinstance(world.log.marks(world.group, [second])[second], Foreign)
    assert world.log.marks(world.group, []) == {}


def test_letters_are_read_whole_and_withdrawn(world):
    keep_by_s = int(time.time()) + 60
    world.log.publish(world.dead_letters, [letter(4), letter(5, None)], keep_by_s)
    found = list(world.log.letters(world.dead_letters))
    assert {record.key: record.letter for record in found} == {
        f"{TOPIC_ID}:1:{offset}".encode(): each
        for offset, each in ((4, letter(4)), (5, letter(5, None)))
    }
    assert {record.size_bytes for record in found} == {0, 1}

    withdrawn = next(r for r in found if r.key.endswith(b":4"))
    world.log.withdraw(world.dead_letters, [withdrawn], keep_by_s)
    again = [r for r in world.log.letters(world.dead_letters) if r.key == withdrawn.key]
    assert [r.letter for r in again] == [letter(4), None]
    assert {r.partition for r in again} == {withdrawn.partition}


@pytest.mark.integration
def test_what_comes_after_its_deadline_is_neither_kept_nor_withdrawn(kafka):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=1)
    world = Real(kafka, KafkaTools({"bootstrap.servers": kafka.bootstrap_servers}), prefix)
    now_s = int(time.time())
    world.log.publish(world.dead_letters, [letter(4)], now_s + 60)
    late_s = now_s - DEAD_LETTER_GRACE_MS // 1000 - 60
    with pytest.raises(RefusedError, match="too long"):
        world.log.publish(world.dead_letters, [letter(5)], late_s)
    [kept] = world.log.letters(world.dead_letters)
    with pytest.raises(RefusedError, match="too long"):
        world.log.withdraw(world.dead_letters, [kept], late_s)
    assert [r.letter for r in world.log.letters(world.dead_letters)] == [letter(4)]


@pytest.mark.integration
def test_more_letters_than_the_client_holds_at_once_are_all_kept(kafka):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=1)
    world = Real(kafka, KafkaTools({"bootstrap.servers": kafka.bootstrap_servers}), prefix)
    letters = [letter(offset, bytes([offset]) * 900_000) for offset in range(50)]
    world.log.publish(world.dead_letters, letters, int(time.time()) + 60)
    kept = world.log.letters(world.dead_letters)
    assert sorted(record.letter.offset for record in kept) == list(range(50))


def test_letters_that_find_neither_room_nor_a_broker_are_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        log = KafkaTools({"bootstrap.servers": address}, silence_s=0.3)
        letters = [letter(offset, bytes(900_000)) for offset in range(50)]
        with pytest.raises(OutcomeUnknownError, match="did not take dead letters: no answer"):
            log.publish("letters", letters, NOW_MS // 1000)


def test_a_topic_that_is_not_there_has_no_letters(world):
    if isinstance(world, InMemory):
        world.log.letter_log = None
    with pytest.raises(RefusedError, match="there is no topic not-there"):
        list(world.log.letters("not-there"))
