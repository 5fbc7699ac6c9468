"""What every source and its offset log promise: one suite for Kafka and for the memory.

They are one suite because in Kafka they are one member of one group; one module because what a
member does when others come and go is asked of the same two members.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from confluent_kafka import ConsumerGroupState, TopicPartition
from confluent_kafka.admin import AdminClient
from samples import partition
from stores import PATIENCE_S, create_topics, eventually, new_prefix
from ugc_etl.adapters.kafka import GroupOffsetLog, KafkaSource
from ugc_etl.adapters.memory import MemoryOffsetLog, MemorySource
from ugc_etl.operations.ports import StoredRecord
from ugc_etl.ports import OffsetLog, OutcomeUnknownError, RefusedError, Source
from ugc_etl.protocol import Foreign, Intent, Mark
from ugc_etl.records import Partition
from ugc_events import FAMILIES

FAMILY_TOPIC = "ugc.views.v1"


@dataclass
class Member:
    """A listener that does what the pipeline does, as simply as can be."""

    source: Source
    log: OffsetLog
    taken: dict[Partition, list[StoredRecord]] = field(default_factory=lambda: defaultdict(list))
    owned: set[Partition] = field(default_factory=set)
    events: list[tuple[str, set[Partition]]] = field(default_factory=list)
    on_revoke: Callable[[list[Partition]], None] = lambda _: None

    def assigned(self, partitions):
        self.owned |= set(partitions)
        self.events.append(("assigned", set(partitions)))
        marks = self.log.marks(partitions)
        bounds = self.source.bounds(partitions)
        return {p: marks[p].offset if p in marks else bounds[p][0] for p in partitions}

    def revoked(self, partitions):
        self.on_revoke(list(partitions))
        self.owned -= set(partitions)
        self.events.append(("revoked", set(partitions)))

    def lost(self, partitions):
        self.owned -= set(partitions)
        self.events.append(("lost", set(partitions)))

    def poll(self):
        for records in self.source.poll(0.05):
            assert set(records.partitions) <= self.owned
            for place, owner in enumerate(records.owners):
                self.taken[records.partitions[owner]].append(
                    StoredRecord(
                        int(records.offsets[place]),
                        int(records.timestamps_ms[place]),
                        records.key_and_headers(place).key,
                        records.values[place],
                        records.key_and_headers(place).headers,
                    )
                )

    def poll_until(self, done):
        def turn():
            self.poll()
            return done()

        eventually(turn, every_s=0.0)

    def values(self):
        return {p.number: [r.value for r in records] for p, records in self.taken.items()}


@dataclass
class World:
    join: Callable[[], Member]
    append: Callable[[int, list[bytes]], None]
    rebalance: Callable[[Member], None]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def world(request) -> Iterator[World]:
    """Two partitions and members of one group."""
    sources = []
    if request.param == "memory":
        partitions = [partition(0), partition(1)]
        logs, marks = {}, MemoryOffsetLog()

        def join():
            source = MemorySource({FAMILY_TOPIC: True})
            source.logs = logs
            sources.append(source)
            return Member(source, marks)

        def append(number, values):
            writer = MemorySource()
            writer.logs = logs
            writer.append(partitions[number], [(1, value) for value in values])

        def rebalance(member):
            if not member.source.ends():
                member.source.assign(*partitions)

        yield World(join, append, rebalance)
    else:
        kafka = request.getfixturevalue("kafka")
        prefix = new_prefix()
        create_topics(kafka, prefix, partitions=2)

        def join():
            source = kafka_source(kafka, prefix)
            sources.append(source)
            return Member(source, GroupOffsetLog(source))

        def append(number, values):
            kafka.client.produce_raw(
                prefix + FAMILY_TOPIC, [(b"k", value, []) for value in values], partition=number
            )

        yield World(join, append, lambda member: None)
    for source in sources:
        source.close()


def kafka_source(kafka, prefix, **changes):
    options = {
        "group_id": f"{prefix}group",
        "topics": [prefix + FAMILY_TOPIC],
        "monotonic_s": time.monotonic,
        # Nobody is taken for dead here.
        "session_timeout_ms": 300_000,
    }
    connection = {"bootstrap.servers": kafka.bootstrap_servers}
    return KafkaSource(connection, **(options | changes))


@pytest.fixture
def kafka_member(kafka) -> Iterator[Callable[..., Member]]:
    """Makes members of the group of a prefix. They are closed when the test fails, too: one that
    is collected with a rebalance under way waits for its listener for ever."""
    sources = []

    def make(prefix, **changes):
        sources.append(kafka_source(kafka, prefix, **changes))
        return Member(sources[-1], GroupOffsetLog(sources[-1]))

    yield make
    for source in sources:
        source.close()


def marks(*done: tuple[Partition, int]) -> dict[Partition, Mark]:
    return {p: Mark(topic_id=p.topic_id, offset=offset, decoder="d") for p, offset in done}


def joined(world) -> Member:
    member = world.join()
    member.source.subscribe(member)
    world.rebalance(member)
    member.poll_until(lambda: len(member.owned) == 2)
    return member


def test_records_come_in_order_with_everything_they_have(world):
    world.append(0, [b"a", b"b", b"c"])
    world.append(1, [b"x"])
    member = joined(world)
    member.poll_until(lambda: sum(map(len, member.taken.values())) == 4)
    assert member.values() == {0: [b"a", b"b", b"c"], 1: [b"x"]}
    for records in member.taken.values():
        assert [record.offset for record in records] == list(range(len(records)))
        assert all(record.timestamp_ms > 0 for record in records)


def test_a_poll_of_records_without_values_is_a_poll_like_any_other(world):
    world.append(0, [b"", b""])
    member = joined(world)
    member.poll_until(lambda: sum(map(len, member.taken.values())) == 2)
    world.append(0, [b"a"])
    member.poll_until(lambda: sum(map(len, member.taken.values())) == 3)
    assert member.values() == {0: [b"", b"", b"a"]}


def test_a_partition_without_a_mark_has_none_and_one_with_a_mark_goes_on_from_there(world):
    world.append(0, [b"a", b"b", b"c"])
    member = joined(world)
    member.poll_until(lambda: len(member.values().get(0, [])) == 3)
    zero, one = sorted(member.owned)
    assert member.log.marks([zero, one]) == {}
    member.log.record(marks((zero, 2), (one, 0)))
    member.log.record(marks((zero, 2)))
    assert member.log.marks([zero, one]) == marks((zero, 2), (one, 0))
    member.source.close()
    assert member.owned == set()
    successor = joined(world)
    successor.poll_until(lambda: successor.taken)
    assert successor.values() == {0: [b"c"]}


def test_a_mark_comes_back_with_its_intent_whoever_asks(world):
    member = joined(world)
    zero, _ = sorted(member.owned)
    intent = Intent(
        start=0, end=20_007, attempt=3, shard=1, table="ugc.views_local", decoder="1-ab",
        insert_by_s=1_800_000_000,
    )  # fmt: skip
    mark = Mark(topic_id=zero.topic_id, offset=0, decoder="1-ab", intent=intent, hunt_until=20_007)
    member.log.record({zero: mark})
    assert member.log.marks([zero]) == {zero: mark}
    member.source.close()
    successor = joined(world)
    assert successor.log.marks([zero]) == {zero: mark}


def test_a_paused_partition_gives_nothing_and_then_goes_on_where_it_stopped(world):
    world.append(0, [b"a"])
    world.append(1, [b"x"])
    member = joined(world)
    member.poll_until(lambda: len(member.values()) == 2)
    zero, _ = sorted(member.owned)
    member.source.pause([zero])
    world.append(0, [b"b"])
    world.append(1, [b"y"])
    member.poll_until(lambda: member.values()[1] == [b"x", b"y"])
    for _ in range(5):
        member.poll()
    assert member.values()[0] == [b"a"]
    member.source.resume([zero])
    member.poll_until(lambda: member.values()[0] == [b"a", b"b"])


def test_ends_and_beginnings_are_known(world):
    world.append(0, [b"a", b"b"])
    member = joined(world)
    zero, one = sorted(member.owned)
    assert member.source.bounds([zero, one]) == {zero: (0, 2), one: (0, 0)}
    eventually(lambda: member.source.ends() == {zero: 2, one: 0})
    member.source.close()


def test_what_is_revoked_can_still_be_committed_by_its_owner(world):
    world.append(0, [b"a", b"b"])
    member = joined(world)
    zero, _ = sorted(member.owned)
    member.on_revoke = lambda _: member.log.record(marks((zero, 1)))
    member.source.close()
    assert member.events[-1][0] == "revoked"
    successor = joined(world)
    successor.poll_until(lambda: successor.taken)
    assert successor.values() == {0: [b"b"]}


def test_all_topics_are_there(world):
    assert world.join().source.missing_topics() == []


@pytest.mark.integration
def test_a_commit_of_another_tool_is_foreign(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=1)
    member = kafka_member(prefix)
    member.source.subscribe(member)
    member.poll_until(lambda: member.owned)
    [zero] = member.owned
    member.source.consumer.commit(
        offsets=[TopicPartition(zero.topic, zero.number, 5)], asynchronous=False
    )
    [found] = member.log.marks([zero]).values()
    assert isinstance(found, Foreign)
    assert found.offset == 5


@pytest.mark.integration
def test_a_second_member_takes_its_share_and_what_was_committed_while_it_did(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=2)
    first, second = kafka_member(prefix), kafka_member(prefix)
    for number in (0, 1):
        kafka.client.produce_raw(
            prefix + FAMILY_TOPIC, [(b"k", bytes([65 + n]), []) for n in range(5)], partition=number
        )
    first.source.subscribe(first)
    first.poll_until(lambda: sum(map(len, first.taken.values())) == 10)
    first.on_revoke = lambda gone: first.log.record(marks(*((p, 3) for p in gone)))
    second.source.subscribe(second)

    def both():
        first.poll()
        return len(first.owned) == len(second.owned) == 1

    second.poll_until(both)
    assert [(kind, len(moved)) for kind, moved in first.events] == [
        ("assigned", 2),
        ("revoked", 2),
        ("assigned", 1),
    ]
    assert first.owned.isdisjoint(second.owned)
    second.poll_until(lambda: second.taken)
    assert list(second.values().values()) == [[b"D", b"E"]]


def group_members(kafka, prefix):
    """How many partitions each member of the group has; None while the group rearranges."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    group = f"{prefix}group"
    described = admin.describe_consumer_groups([group])[group].result()
    if described.state is not ConsumerGroupState.STABLE:
        return None
    return sorted(len(member.assignment.topic_partitions) for member in described.members)


@pytest.mark.integration
def test_a_partition_that_was_paused_when_it_went_is_read_when_it_comes_back(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=2)
    first, second = kafka_member(prefix), kafka_member(prefix)
    first.source.subscribe(first)
    first.poll_until(lambda: len(first.owned) == 2)
    first.source.pause(list(first.owned))
    second.source.subscribe(second)

    def shared():
        first.poll()
        second.poll()
        return len(first.owned) == len(second.owned) == 1

    eventually(shared)
    second.source.close()
    first.poll_until(lambda: len(first.owned) == 2)
    for number in (0, 1):
        kafka.client.produce_raw(prefix + FAMILY_TOPIC, [(b"k", b"v", [])], partition=number)
    first.poll_until(lambda: first.values() == {0: [b"v"], 1: [b"v"]})


@pytest.mark.integration
def test_members_share_every_topic(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=2)
    topics = [prefix + family.topic for family in FAMILIES]
    first, second = (kafka_member(prefix, topics=topics) for _ in range(2))
    first.source.subscribe(first)
    first.poll_until(lambda: len(first.owned) == 2 * len(topics))
    second.source.subscribe(second)

    def shared():
        first.poll()
        second.poll()
        return len(first.owned) == len(second.owned) == len(topics)

    eventually(shared)
    assert {p.topic for p in first.owned} == {p.topic for p in second.owned} == set(topics)


@pytest.mark.integration
def test_a_member_without_partitions_leaves_at_once(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=1)
    first, second = kafka_member(prefix), kafka_member(prefix)
    first.source.subscribe(first)
    first.poll_until(lambda: first.owned)
    second.source.subscribe(second)

    def settled():
        first.poll()
        second.poll()
        return group_members(kafka, prefix) == [0, 1]

    eventually(settled)
    second.source.close()
    # Sooner than its session ends.
    eventually(lambda: first.poll() or group_members(kafka, prefix) == [1])


@pytest.mark.integration
def test_partitions_that_arrive_while_a_member_leaves_are_not_taken(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=2)
    first, second = kafka_member(prefix), kafka_member(prefix)
    first.source.subscribe(first)
    first.poll_until(lambda: len(first.owned) == 2)
    second.source.subscribe(second)

    # The second member has its partition, and has not polled yet.
    eventually(lambda: first.poll() or group_members(kafka, prefix) == [1, 1])
    second.source.close()
    assert second.events == []
    first.poll_until(lambda: len(first.owned) == 2)


@pytest.mark.integration
def test_a_topic_is_known_by_its_id_and_missed_when_it_is_not_there(kafka, kafka_member):
    prefix = new_prefix()
    topic = prefix + FAMILY_TOPIC
    assert kafka_member(prefix).source.missing_topics() == [topic]

    def id_of_a_new_life():
        create_topics(kafka, prefix, partitions=1)
        member = kafka_member(prefix)
        member.source.subscribe(member)
        member.poll_until(lambda: member.owned)
        [owned] = member.owned
        member.source.close()
        kafka.client.delete_topics([topic])
        return owned.topic_id

    assert id_of_a_new_life() != id_of_a_new_life()


@pytest.mark.integration
def test_records_that_are_gone_stop_the_source_and_are_no_silent_jump(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=1)
    kafka.client.produce_raw(prefix + FAMILY_TOPIC, [(b"k", b"a", [])], partition=0)
    member = kafka_member(prefix)
    member.assigned = lambda partitions: dict.fromkeys(partitions, 77)
    member.source.subscribe(member)
    with pytest.raises(RefusedError, match="no longer has"):
        eventually(lambda: member.source.poll(0.1))


@pytest.mark.integration
def test_a_rebalance_in_the_middle_of_a_poll_gives_no_record_twice(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=2)
    held_s, last_s, rebalances = 0.0, time.monotonic(), threading.Event()
    give_up_at_s = last_s + PATIENCE_S

    def monotonic_s():
        """A poll's time passes when no rebalance is to come, however long one takes."""
        nonlocal held_s, last_s
        now_s = time.monotonic()
        if rebalances.is_set() and len(first.events) < 3 and now_s < give_up_at_s:
            held_s += now_s - last_s
        last_s = now_s
        return now_s - held_s

    first, second = kafka_member(prefix, monotonic_s=monotonic_s), kafka_member(prefix)
    first.source.subscribe(first)
    first.poll_until(lambda: len(first.owned) == 2)
    for number in (0, 1):
        kafka.client.produce_raw(
            prefix + FAMILY_TOPIC, [(b"k", value, []) for value in (b"a", b"b")], partition=number
        )
    over = threading.Event()

    def take_one_partition():
        second.source.subscribe(second)
        while not over.is_set():
            second.poll()

    joining = threading.Thread(target=take_one_partition)
    joining.start()
    rebalances.set()
    try:
        # It has all four at once, gives both partitions up, and gets one of them back.
        polled = first.source.poll(5.0)
    finally:
        over.set()
        joining.join()
    assert [kind for kind, _ in first.events] == ["assigned", "revoked", "assigned"]
    [left] = first.owned
    assert [(r.partitions, r.offsets.tolist()) for r in polled] == [([left], [0, 1])]


@pytest.mark.integration
def test_what_a_listener_raises_reaches_the_loop(kafka, kafka_member):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=1)
    member = kafka_member(prefix)

    def refuse(partitions):
        raise RefusedError("no")

    member.assigned = refuse
    member.source.subscribe(member)
    with pytest.raises(RefusedError, match="no"):
        eventually(lambda: member.source.poll(0.1))


def test_without_a_broker_topics_are_unknown(unused_port):
    source = KafkaSource(
        {"bootstrap.servers": f"127.0.0.1:{unused_port}"},
        group_id="g", topics=["t"], monotonic_s=time.monotonic, request_timeout_s=0.5,
    )  # fmt: skip
    with pytest.raises(OutcomeUnknownError, match="topics cannot be described"):
        source.missing_topics()
    assert source.poll(0.1) == []
    source.close()
