"""Two servers as two shards: rows go where their partition belongs, an intent keeps its own."""

import json
import os
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from samples import view
from stores import (
    PATIENCE_S,
    Proxy,
    connect,
    create_topics,
    etl_environ,
    eventually,
    new_deployment,
    new_prefix,
    running_etl,
)
from ugc_etl.__main__ import main
from ugc_etl.adapters.kafka_tools import KafkaTools
from ugc_etl.contract_version import contract_version
from ugc_etl.protocol import Intent, Mark, encode_metadata
from ugc_etl.schema import migrate
from ugc_events import FAMILIES, encode_record
from ugc_local.clickhouse.configuration import ServerPorts, User
from ugc_local.deadline import Deadline
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.stores import await_clickhouse, start_clickhouse

pytestmark = pytest.mark.integration
SHORT = {"INSERT_TIMEOUT_S": "5", "INSERT_DEADLINE_S": "10", "SHUTDOWN_GRACE_S": "5"}


@pytest.fixture(scope="module")
def second_clickhouse(tmp_path_factory, process_guard, clickhouse):
    """Another server, with the same user."""
    name, password = clickhouse.admin
    ports = ServerPorts(*free_ports(2))
    server = start_clickhouse(
        tmp_path_factory.mktemp("second"), ports=ports, users=[User(name, password)],
        environ=os.environ, guard=process_guard,
    )  # fmt: skip
    try:
        await_clickhouse(server, ports, Deadline.after(PATIENCE_S))
        yield SimpleNamespace(host=LOOPBACK, native_port=ports.native, admin=clickhouse.admin)
    finally:
        server.stop(grace_s=10)


class Stage:
    """Two partitions, and the two servers' tables."""

    def __init__(self, kafka, servers):
        self.kafka, self.prefix, self.deployment = kafka, new_prefix(), new_deployment()
        create_topics(kafka, self.prefix, 2)
        self.addresses = [(server.host, server.native_port) for server in servers]
        self.servers = [connect(server) for server in servers]
        for server in self.servers:
            migrate(server, self.deployment)
        self.environ = etl_environ(kafka, servers[0], self.deployment, self.prefix) | SHORT
        self.environ["CLICKHOUSE_SHARDS"] = ",".join(f"{h}:{p}" for h, p in self.addresses)
        self.topic = f"{self.prefix}ugc.views.v1"

    def close(self):
        for server in self.servers:
            server.close()

    def send(self, start, end, partition):
        now_ms = int(time.time() * 1000)
        values = [encode_record(view(n, now_ms)) for n in range(start, end)]
        self.kafka.client.produce_raw(
            self.topic, [(b"k", value, []) for value in values], partition=partition
        )

    def offsets(self, shard, partition):
        return [
            offset
            for (offset,) in self.servers[shard].execute(
                f"SELECT _offset FROM {self.deployment.local('views')}"
                f" WHERE _partition = {partition} ORDER BY _offset"
            )
        ]

    @contextmanager
    def proxied(self, shard):
        """A proxy to a shard, in the place of its address."""
        host, port = self.addresses[shard]
        addresses = self.environ["CLICKHOUSE_SHARDS"].split(",")
        proxy = Proxy(host, port)
        try:
            addresses[shard] = f"{LOOPBACK}:{proxy.port}"
            yield proxy, self.environ | {"CLICKHOUSE_SHARDS": ",".join(addresses)}
        finally:
            proxy.close()

    def audit(self, shard, partition):
        """`etl audit` of a partition on a shard, as it asks servers that are no cluster."""
        host, port = self.addresses[shard]
        one = {"CLICKHOUSE_HOST": host, "CLICKHOUSE_PORT": str(port), "CLICKHOUSE_SHARDS": ""}
        arguments = ["audit", "--json", "--topic", self.topic, "--partition", str(partition)]
        done = CliRunner().invoke(main, arguments, env=self.environ | one)
        assert done.exit_code in (0, 1), done.stderr
        [found] = json.loads(done.stdout)["partitions"]
        return done.exit_code, found["counts"]["rows"], found["counts"]["missing"]

    def declare(self, number, end, *, shard, insert_by_s):
        """As a consumer left it that knew other shards."""
        tools = KafkaTools({"bootstrap.servers": self.kafka.bootstrap_servers})
        decoder = contract_version(FAMILIES)
        intent = Intent(
            start=0, end=end, attempt=0, shard=shard, table=self.deployment.local("views"),
            decoder=decoder, insert_by_s=insert_by_s,
        )  # fmt: skip
        topic_id = tools.partitions([self.topic])[number].topic_id
        mark = Mark(topic_id=topic_id, offset=0, decoder=decoder, intent=intent)
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        group = self.environ["KAFKA_GROUP_ID"]
        place = TopicPartition(self.topic, number, 0, encode_metadata(mark))
        request = ConsumerGroupTopicPartitions(group, [place])
        admin.alter_consumer_group_offsets([request])[group].result()


@pytest.fixture
def stage(kafka, clickhouse, second_clickhouse):
    stage = Stage(kafka, [clickhouse, second_clickhouse])
    yield stage
    stage.close()


def test_rows_go_to_the_shard_of_their_partition_and_stay_where_they_are(stage, tmp_path):
    for partition in range(2):
        stage.send(0, 20, partition)
    with running_etl(stage.environ, tmp_path / "two.log") as etl:
        eventually(lambda: len(stage.offsets(0, 0)) == len(stage.offsets(1, 1)) == 20)
        assert etl.stop() == 0
    assert stage.offsets(0, 1) == stage.offsets(1, 0) == []
    # A lost mark: what is on any shard is not inserted again.
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers})
    group = stage.environ["KAFKA_GROUP_ID"]
    admin.delete_consumer_groups([group])[group].result()
    first, second = stage.environ["CLICKHOUSE_SHARDS"].split(",")
    stage.environ["CLICKHOUSE_SHARDS"] = f"{second},{first}"
    for partition in range(2):
        stage.send(20, 25, partition)
    with running_etl(stage.environ, tmp_path / "swapped.log") as etl:
        eventually(lambda: stage.offsets(1, 0) == stage.offsets(0, 1) == list(range(20, 25)))
        assert etl.stop() == 0
    assert stage.offsets(0, 0) == stage.offsets(1, 1) == list(range(20))


@pytest.mark.parametrize("left_s", [300, -60], ids=["in time", "too late"])
def test_a_pending_intent_keeps_its_shard_when_there_are_more_shards(stage, tmp_path, left_s):
    stage.send(0, 10, 1)
    stage.declare(1, 6, shard=0, insert_by_s=int(time.time()) + left_s)
    with running_etl(stage.environ, tmp_path / "etl.log") as etl:
        eventually(lambda: len(stage.offsets(0, 1)) + len(stage.offsets(1, 1)) == 10)
        assert etl.stop() == 0
    # In time it is sent again, to its shard. Too late it is declared anew, for today's.
    pending = list(range(6)) if left_s > 0 else []
    assert stage.offsets(0, 1) == pending
    assert stage.offsets(1, 1) == list(range(len(pending), 10))


def test_what_landed_on_a_shard_that_is_not_today_s_has_landed(stage, tmp_path):
    stage.send(0, 10, 1)
    # As the consumer of one shard had it.
    both, stage.environ["CLICKHOUSE_SHARDS"] = stage.environ["CLICKHOUSE_SHARDS"], ""
    with running_etl(stage.environ, tmp_path / "one.log") as etl:
        eventually(lambda: len(stage.offsets(0, 1)) == 10)
        assert etl.stop() == 0
    [(insert_by_s,)] = stage.servers[0].execute(
        f"SELECT DISTINCT toUnixTimestamp(_insert_by) FROM {stage.deployment.local('views')}"
    )
    stage.declare(1, 10, shard=0, insert_by_s=insert_by_s)
    stage.environ["CLICKHOUSE_SHARDS"] = both
    stage.send(10, 12, 1)
    with running_etl(stage.environ, tmp_path / "two.log") as etl:
        eventually(lambda: stage.offsets(1, 1) == [10, 11])
        assert etl.stop() == 0
    assert stage.offsets(0, 1) == list(range(10))


@pytest.mark.parametrize("down", [0, 1])
def test_a_shard_that_is_down_holds_back_its_own_partitions_only(stage, tmp_path, down):
    up = 1 - down
    # Room for some hundred records: what waits for one shard must leave the other its own.
    small = {"BUFFER_MAX_BYTES": "200000", "BATCH_MAX_ROWS": "100", "INSERTS_PER_S_TARGET": "1000"}
    with stage.proxied(down) as (proxy, environ):  # noqa: SIM117 - the second needs the first
        with running_etl(environ | small, tmp_path / "etl.log") as etl:
            for partition in range(2):
                stage.send(0, 10, partition)
            eventually(lambda: len(stage.offsets(0, 0)) == len(stage.offsets(1, 1)) == 10)
            proxy.cut()
            stage.send(10, 2000, down)
            eventually(lambda: f"shard {down} does not take batches" in etl.log.read_text())
            stage.send(10, 2000, up)
            eventually(lambda: len(stage.offsets(up, up)) == 2000)
            assert len(stage.offsets(down, down)) == 10
            assert "over after" not in etl.log.read_text()
            proxy.mend()
            eventually(lambda: len(stage.offsets(down, down)) == 2000)
            assert etl.stop() == 0
    for partition in range(2):
        assert stage.offsets(partition, partition) == list(range(2000))
        assert stage.audit(partition, partition) == (0, 2000, 0)
        assert stage.audit(1 - partition, partition) == (1, 0, 2000)


def test_more_shards_after_a_crash_double_and_lose_nothing(stage, tmp_path):
    stage.send(0, 300, 1)
    two = stage.environ["CLICKHOUSE_SHARDS"]
    stage.environ["CLICKHOUSE_SHARDS"] = two.split(",")[0]
    with stage.proxied(0) as (proxy, environ):
        proxy.swallow_behind_bytes = 10_000
        with running_etl(environ, tmp_path / "one.log") as first:
            # The rows are in; the answer never comes, and the intent stays.
            eventually(lambda: len(stage.offsets(0, 1)) == 300)
            first.process.kill()
            first.process.wait(PATIENCE_S)
    stage.environ["CLICKHOUSE_SHARDS"] = two
    stage.send(300, 400, 1)
    with running_etl(stage.environ, tmp_path / "two.log") as second:
        eventually(lambda: len(stage.offsets(1, 1)) == 100)
        assert second.stop() == 0
    assert stage.offsets(0, 1) == list(range(300))
    assert stage.offsets(1, 1) == list(range(300, 400))


def test_an_intent_of_a_shard_without_an_address_stops_the_process(stage, tmp_path):
    stage.send(0, 3, 0)
    stage.declare(0, 3, shard=2, insert_by_s=int(time.time()) + 300)
    log = tmp_path / "etl.log"
    with running_etl(stage.environ, log) as etl:
        assert etl.process.wait(PATIENCE_S) == 1
    assert "declared for shard 2, and CLICKHOUSE_SHARDS has 2" in log.read_text()
