"""The protocol on the real broker and the real engine, case by case; `make chaos` mixes them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from samples import view
from stores import (
    PATIENCE_S,
    connect,
    create_topics,
    etl_environ,
    eventually,
    new_deployment,
    new_prefix,
    running_etl,
)
from ugc_etl.adapters.kafka_tools import KafkaTools
from ugc_etl.protocol import Mark, encode_metadata
from ugc_etl.schema import migrate
from ugc_events import DeadLetter, encode_record
from ugc_events.registry import DEAD_LETTERS_TOPIC

pytestmark = pytest.mark.integration

SHORT = {
    "INSERT_TIMEOUT_S": "5",
    "INSERT_DEADLINE_S": "10",
    "HUNT_DEADLINE_S": "2",
    "KAFKA_SESSION_TIMEOUT_MS": "6000",
    "SHUTDOWN_GRACE_S": "1",
}


@dataclass
class Stage:
    environ: dict[str, str]
    topic: str
    execute: Callable[[str], list]
    table: str
    letters: Callable[[], list[DeadLetter]]
    send: Callable[[int, int], None]
    delete_marks: Callable[[], None]
    log: Path

    def rows(self) -> int:
        return self.execute(f"SELECT count() FROM {self.table}")[0][0]

    def offsets(self) -> list[int]:
        return [o for (o,) in self.execute(f"SELECT _offset FROM {self.table} ORDER BY _offset")]


@pytest.fixture
def stage(kafka, clickhouse, tmp_path):
    prefix, deployment = new_prefix(), new_deployment()
    create_topics(kafka, prefix, partitions=1)
    client = connect(clickhouse)
    migrate(client, deployment)
    topic, now_ms = f"{prefix}ugc.views.v1", int(time.time() * 1000)

    def send(start, end):
        events = [view(n, now_ms) for n in range(start, end)]
        kafka.client.produce_raw(topic, [(b"k", encode_record(e), []) for e in events])

    def letters():
        found = kafka.client.read_all(prefix + DEAD_LETTERS_TOPIC)
        return [DeadLetter.from_record(record.value, record.headers) for record in found]

    def delete_marks():
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        admin.delete_consumer_groups([f"{prefix}etl"])[f"{prefix}etl"].result()

    yield Stage(
        environ=etl_environ(kafka, clickhouse, deployment, prefix) | SHORT,
        topic=topic,
        execute=client.execute,
        table=deployment.table("views"),
        letters=letters,
        send=send,
        delete_marks=delete_marks,
        log=tmp_path / "etl.log",
    )
    client.close()


def test_a_consumer_killed_after_its_insert_landed_is_succeeded_without_a_double(stage, proxy):
    stage.send(0, 300)
    proxy.swallow_behind_bytes = 10_000
    environ = stage.environ | {"CLICKHOUSE_PORT": str(proxy.port)}
    with running_etl(environ, stage.log) as first:
        # The rows are in; the answer never comes.
        eventually(lambda: stage.rows() == 300)
        first.process.kill()
        first.process.wait(PATIENCE_S)
    stage.send(300, 400)
    with running_etl(stage.environ, stage.log) as second:
        eventually(lambda: stage.rows() >= 400)
        assert second.stop() == 0
    assert stage.offsets() == list(range(400))


def test_records_that_clickhouse_refuses_become_letters_and_their_neighbours_rows(stage):
    stage.execute(f"ALTER TABLE {stage.table} ADD CONSTRAINT picky CHECK position_ms != 90000")
    stage.send(0, 6)
    with running_etl(stage.environ, stage.log) as etl:
        eventually(lambda: stage.rows() == 5)
        stage.send(6, 8)
        eventually(lambda: stage.rows() == 7)
        assert etl.stop() == 0
    assert stage.offsets() == [0, 1, 2, 4, 5, 6, 7]
    [letter] = stage.letters()
    assert (letter.offset, letter.reason.value, letter.key) == (3, "refused_by_store", b"k")
    assert b'"position_ms":90000' in letter.value


def test_after_the_mark_was_deleted_what_is_missing_is_found_out(stage):
    stage.send(0, 50)
    with running_etl(stage.environ, stage.log) as first:
        eventually(lambda: stage.rows() == 50)
        assert first.stop() == 0
    stage.delete_marks()
    stage.execute(
        f"ALTER TABLE {stage.table} DELETE WHERE _offset IN (7, 8) SETTINGS mutations_sync = 2"
    )
    stage.send(50, 60)
    with running_etl(stage.environ, stage.log) as second:
        eventually(lambda: stage.rows() >= 60)
        assert second.stop() == 0
    assert stage.offsets() == list(range(60))
    assert "there is no mark" in stage.log.read_text()


def test_a_foreign_commit_stops_the_process_with_what_to_do(stage, kafka):
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    group = stage.environ["KAFKA_GROUP_ID"]
    places = ConsumerGroupTopicPartitions(group, [TopicPartition(stage.topic, 0, 0)])
    admin.alter_consumer_group_offsets([places])[group].result()
    with running_etl(stage.environ, stage.log) as etl:
        assert etl.process.wait(PATIENCE_S) == 1
    assert "Delete the group's offset of this partition" in stage.log.read_text()


def test_a_log_that_ends_before_the_mark_stops_the_process_and_says_why(stage, kafka):
    stage.send(0, 3)
    [partition] = KafkaTools({"bootstrap.servers": kafka.bootstrap_servers}).partitions(
        [stage.topic]
    )
    mark = Mark(topic_id=partition.topic_id, offset=5, decoder="1")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    group = stage.environ["KAFKA_GROUP_ID"]
    place = TopicPartition(stage.topic, 0, mark.offset, encode_metadata(mark))
    request = ConsumerGroupTopicPartitions(group, [place])
    admin.alter_consumer_group_offsets([request])[group].result()
    with running_etl(stage.environ, stage.log) as etl:
        assert etl.process.wait(PATIENCE_S) == 1
    assert "the log ends at 3, and the mark says that more was read (5)" in stage.log.read_text()
    assert stage.rows() == 0
