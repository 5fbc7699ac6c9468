"""What a lease may expect of what keeps it, of the real one and of the one in memory."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from stores import create_topics, eventually, new_prefix
from ugc_etl.adapters.kafka_tools import KafkaLeaseLog
from ugc_etl.operations.memory import MemoryLease, MemoryLeaseLog
from ugc_etl.operations.ports import Declared
from ugc_etl.ports import OutcomeUnknownError, RefusedError

ONE, TWO = Declared("one", 1_790_000_000), Declared("two", 1_790_000_060)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def new_log(request):
    """Makes logs of one lease."""
    if request.param == "memory":
        lease = MemoryLease()
        return lambda: MemoryLeaseLog(lease)
    kafka, prefix = request.getfixturevalue("kafka"), new_prefix()
    create_topics(kafka, prefix, 1)
    return lambda: KafkaLeaseLog(
        {"bootstrap.servers": kafka.bootstrap_servers},
        group=f"{prefix}etl.commands",
        topic=f"{prefix}ugc.dead-letters.v1",
    )


def test_what_was_declared_last_is_there_for_the_next(new_log):
    first = new_log()
    assert first.declared() is None
    first.fence()
    first.declare(ONE)
    first.declare(TWO)
    assert eventually(lambda: stable(new_log())) == TWO


def test_a_fenced_one_declares_nothing_more(new_log):
    first, second = new_log(), new_log()
    first.fence()
    first.declare(ONE)
    second.fence()
    for _ in range(2):
        with pytest.raises(RefusedError, match="another command has taken the lease"):
            first.declare(TWO)
    assert eventually(lambda: stable(second)) == ONE
    second.declare(TWO)
    assert eventually(lambda: stable(first)) == TWO


def test_nobody_declares_who_has_not_fenced(new_log):
    new_log().fence()
    with pytest.raises(RefusedError):
        new_log().declare(ONE)


@pytest.mark.integration
def test_a_declaration_under_way_is_undone_by_a_fence(kafka):
    prefix = new_prefix()
    create_topics(kafka, prefix, 1)
    connection = {"bootstrap.servers": kafka.bootstrap_servers}
    group, topic = f"{prefix}etl.commands", f"{prefix}ugc.dead-letters.v1"
    log = KafkaLeaseLog(connection, group=group, topic=topic)
    log.fence()
    log.declare(ONE)
    dead = Producer({**connection, "transactional.id": group})
    dead.init_transactions(20)
    dead.begin_transaction()
    consumer = Consumer({**connection, "group.id": group})
    dead.send_offsets_to_transaction(
        [TopicPartition(topic, 0, 0, '{"holder":"dead","until_s":1}')],
        consumer.consumer_group_metadata(), 20,
    )  # fmt: skip
    consumer.close()
    log = KafkaLeaseLog(connection, group=group, topic=topic)
    log.fence()
    assert eventually(lambda: stable(log)) == ONE
    log.declare(TWO)
    assert eventually(lambda: stable(log)) == TWO


@pytest.mark.integration
def test_what_a_tool_has_committed_is_no_declaration(kafka):
    prefix = new_prefix()
    create_topics(kafka, prefix, 1)
    connection = {"bootstrap.servers": kafka.bootstrap_servers}
    group, topic = f"{prefix}etl.commands", f"{prefix}ugc.dead-letters.v1"
    consumer = Consumer({**connection, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    consumer.close()
    log = KafkaLeaseLog(connection, group=group, topic=topic)
    with pytest.raises(RefusedError, match=r"etl\.commands is not this software's"):
        log.declared()


def stable(log):
    """What is declared, once it is certain."""
    try:
        return log.declared()
    except OutcomeUnknownError:
        return None
