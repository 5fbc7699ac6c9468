import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from ugc_local.kafka.client import KafkaClient, KafkaClientError, Topic
from ugc_local.ports import free_ports

pytestmark = pytest.mark.integration


def test_topics_are_created_once_and_keep_their_partitions(kafka):
    wanted = [
        Topic("client.once", 3, {"retention.ms": "60000"}),
        Topic("client.compacted", 1, {"cleanup.policy": "compact"}),
    ]
    kafka.client.create_topics(wanted)
    kafka.client.create_topics(wanted)
    assert kafka.client.topics().items() >= {"client.once": 3, "client.compacted": 1}.items()
    with pytest.raises(KafkaClientError, match=r"client\.once exists with 3 partitions, not 4"):
        kafka.client.create_topics([Topic("client.once", 4)])


def test_a_wrong_setting_of_a_topic_is_an_error(kafka):
    with pytest.raises(KafkaClientError, match=r"client\.wrong could not be created"):
        kafka.client.create_topics([Topic("client.wrong", 1, {"no.such.setting": "1"})])


def test_settings_of_a_topic_are_changed_and_given_back(kafka):
    kafka.client.create_topics([Topic("client.configured", 1)])
    kafka.client.configure_topic("client.configured", {"max.message.bytes": "100"})
    with pytest.raises(KafkaClientError, match="refused 1 records"):
        kafka.client.produce_raw("client.configured", [(None, b"x" * 200, [])])
    kafka.client.configure_topic("client.configured", {"max.message.bytes": None})
    kafka.client.produce_raw("client.configured", [(None, b"x" * 200, [])])
    assert kafka.client.end_offsets("client.configured") == {0: 1}
    with pytest.raises(KafkaClientError, match=r"settings of topic client\.none"):
        kafka.client.configure_topic("client.none", {"max.message.bytes": "100"})


def test_a_deleted_topic_can_be_made_anew_and_is_empty(kafka):
    kafka.client.create_topics([Topic("client.anew", 1)])
    kafka.client.produce_raw("client.anew", [(None, b"old", [])])
    kafka.client.delete_topics(["client.anew"])
    kafka.client.create_topics([Topic("client.anew", 1)])
    assert kafka.client.end_offsets("client.anew") == {0: 0}


def test_what_is_written_is_read_byte_by_byte_in_order(kafka):
    kafka.client.create_topics([Topic("client.bytes", 3)])
    written = [
        (f"key {number % 7}".encode(), bytes([number % 256, 0xFF]), [("h", b"\x00"), ("h", b"2")])
        for number in range(500)
    ]
    written += [(None, b"no key", []), (b"tombstone", None, [])]
    positions = kafka.client.produce_raw("client.bytes", written)
    records = {(r.partition, r.offset): r for r in kafka.client.read_all("client.bytes")}
    assert len(records) == len(written)
    for position, (key, value, headers) in zip(positions, written, strict=True):
        record = records[position]
        assert (record.key, record.value, list(record.headers)) == (key, value, headers)
    ends = kafka.client.end_offsets("client.bytes")
    assert sum(ends.values()) == len(written)
    for partition in range(3):
        offsets = [r.offset for r in records.values() if r.partition == partition]
        assert offsets == list(range(ends[partition]))


def test_a_partition_can_be_chosen_and_an_empty_topic_read(kafka):
    kafka.client.create_topics([Topic("client.chosen", 4)])
    assert list(kafka.client.read_all("client.chosen")) == []
    positions = kafka.client.produce_raw("client.chosen", [(b"k", b"v", [])] * 3, partition=2)
    assert positions == [(2, 0), (2, 1), (2, 2)]
    assert kafka.client.end_offsets("client.chosen") == {0: 0, 1: 0, 2: 3, 3: 0}


def test_reading_begins_at_what_retention_has_left(kafka):
    kafka.client.create_topics([Topic("client.left", 1)])
    kafka.client.produce_raw("client.left", [(None, b"%d" % n, []) for n in range(3)])
    admin = AdminClient({"bootstrap.servers": kafka.client.bootstrap_servers})
    for deleted in admin.delete_records([TopicPartition("client.left", 0, 2)]).values():
        deleted.result()
    assert kafka.client.ranges("client.left") == {0: (2, 3)}
    assert [record.value for record in kafka.client.read_all("client.left")] == [b"2"]


def test_reading_ends_at_the_ends_of_its_beginning(kafka):
    kafka.client.create_topics([Topic("client.ends", 1)])
    kafka.client.produce_raw("client.ends", [(None, b"first", [])] * 2)
    reading = kafka.client.read_all("client.ends")
    read = [next(reading).value]
    kafka.client.produce_raw("client.ends", [(None, b"later", [])])
    read += [record.value for record in reading]
    assert read == [b"first", b"first"]


def test_a_refused_record_is_an_error_and_the_next_call_works(kafka):
    kafka.client.create_topics([Topic("client.small", 1, {"max.message.bytes": "1000"})])
    with pytest.raises(KafkaClientError, match=r"client\.small refused 1 records"):
        kafka.client.produce_raw("client.small", [(None, b"x" * 5000, [])])
    assert kafka.client.produce_raw("client.small", [(None, b"x", [])]) == [(0, 0)]


def test_lag_counts_from_the_start_for_a_group_without_offsets(kafka):
    kafka.client.create_topics([Topic("client.lag", 2)])
    kafka.client.produce_raw("client.lag", [(None, b"x", [])] * 5, partition=1)
    assert kafka.client.committed_offsets("client.nobody", "client.lag") == {0: None, 1: None}
    assert kafka.client.lag("client.nobody", "client.lag") == {0: 0, 1: 5}


def test_a_missing_topic_and_a_missing_broker_are_named(kafka):
    with pytest.raises(KafkaClientError, match=r"no topic client\.missing"):
        kafka.client.end_offsets("client.missing")
    nobody = KafkaClient(f"127.0.0.1:{free_ports(1)[0]}")
    assert not nobody.is_ready(timeout_s=0.2)


def test_a_writer_tells_the_place_of_every_record(kafka):
    kafka.client.create_topics([Topic("written", 2)])
    outcomes = {}
    writer = kafka.client.writer(outcomes.__setitem__)
    for number in range(500):
        writer.write(number, "written", b"%d" % (number % 7), b"%d" % number)
    writer.poll()
    writer.close(20)
    stored = {(r.topic, r.partition, r.offset): r.value for r in kafka.client.read_all("written")}
    assert {place: b"%d" % number for number, place in outcomes.items()} == stored
    assert len(stored) == 500


def test_a_writer_does_not_know_what_became_of_records_without_an_answer():
    outcomes = {}
    writer = KafkaClient("127.0.0.1:1").writer(outcomes.__setitem__)
    writer.write(1, "nowhere", b"k", None)
    writer.close(0.2)
    assert outcomes == {1: None}


def test_positions_are_what_the_group_committed(kafka):
    from confluent_kafka import Consumer, TopicPartition

    kafka.client.create_topics([Topic("positions", 3)])
    committed = [TopicPartition("positions", 0, 5), TopicPartition("positions", 2, 7)]
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "positions"})
    try:
        consumer.commit(offsets=committed, asynchronous=False)
    finally:
        consumer.close()
    asked = [("positions", partition) for partition in range(3)]
    for group, found in [("positions", {asked[0]: 5, asked[2]: 7}), ("nobody", {})]:
        positions = kafka.client.positions(group)
        try:
            assert positions.read(asked, 20) == found
        finally:
            positions.close()


def test_positions_without_a_broker_are_an_error():
    positions = KafkaClient("127.0.0.1:1").positions("nobody")
    try:
        with pytest.raises(KafkaClientError, match="offsets of group nobody"):
            positions.read([("t", 0)], 0.2)
    finally:
        positions.close()
