"""The real broker, the real engine, and the ETL's own process, for the measurements here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psutil
from confluent_kafka import Consumer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from ugc_etl.adapters.clickhouse import ClickHouse, ClickHouseAddress
from ugc_etl.contract_version import contract_version
from ugc_etl.protocol import Mark, encode_metadata
from ugc_etl.schema import Deployment, migrate
from ugc_events import FAMILIES
from ugc_events.registry import topics
from ugc_local.clickhouse.configuration import ServerPorts, User
from ugc_local.credentials import ADMIN, new_credentials
from ugc_local.deadline import Deadline
from ugc_local.kafka.broker import BrokerPorts, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.kafka.distribution import local_repository
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import Guard, Process
from ugc_local.stores import await_clickhouse, await_kafka, start_clickhouse

_READY_S = 90.0
_MIB = 1 << 20
PSEUDONYM_KEY = "a key of the benchmark, 32 bytes"


@dataclass(frozen=True)
class World:
    """Both stores, running.

    Attributes:
        directory: for what the measurements write.
        bootstrap_servers: of the broker.
        kafka: asks the broker things.
        environ: what every process here is given.
    """

    directory: Path
    bootstrap_servers: str
    kafka: KafkaClient
    clickhouse_port: int
    clickhouse_password: str
    clickhouse_pid: int
    environ: Mapping[str, str]

    def create_topics(self, prefix: str, partitions: int) -> None:
        """The platform's topics under a prefix."""
        self.kafka.create_topics(
            Topic(spec.name, partitions if spec.partitioned else 1, spec.config)
            for spec in topics(prefix)
        )

    def mark_beginnings(self, prefix: str, group: str) -> None:
        """Make a group one that has been at work: its marks stand before the first records.

        A new group would ask the tables about every partition first, whatever the backlog.
        """
        names = [family.topic_of(prefix) for family in FAMILIES]
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        found = admin.describe_topics(TopicCollection(names))
        version = contract_version(FAMILIES)
        places = []
        for topic, future in found.items():
            described = future.result()
            high = described.topic_id.get_most_significant_bits() % 2**64
            low = described.topic_id.get_least_significant_bits() % 2**64
            mark = Mark(topic_id=str(UUID(int=high << 64 | low)), offset=0, decoder=version)
            places += [
                TopicPartition(topic, number, 0, metadata=encode_metadata(mark))
                for number in range(len(described.partitions))
            ]
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": group})
        consumer.commit(offsets=places, asynchronous=False)
        consumer.close()

    def connect(self) -> ClickHouse:
        """A client of the engine, as the ETL's."""
        return ClickHouse(
            ClickHouseAddress(
                host=LOOPBACK,
                port=self.clickhouse_port,
                user=ADMIN,
                password=self.clickhouse_password,
            ),
            time.time,
        )

    def new_tables(self) -> Deployment:
        """The whole schema, marts and all, in databases of its own."""
        name = uuid4().hex[:10]
        deployment = Deployment(database=f"ugc_{name}", analytics_database=f"analytics_{name}")
        client = self.connect()
        migrate(client, deployment)
        client.close()
        return deployment

    def drop_tables(self, deployment: Deployment) -> None:
        """Give the disk back."""
        client = self.connect()
        for database in (deployment.analytics_database, deployment.database):
            client.execute(f"DROP DATABASE IF EXISTS {database}")
        client.close()

    def server_cpu_s(self) -> float:
        """CPU that ClickHouse has used."""
        return cpu_s(psutil.Process(self.clickhouse_pid))

    @contextmanager
    def etl(
        self, deployment: Deployment, prefix: str, settings: Mapping[str, str] | None = None
    ) -> Iterator[Etl]:
        """`etl run` as a process, ready on entry; stopped on exit."""
        group = f"etl-{uuid4().hex[:10]}"
        self.mark_beginnings(prefix, group)
        environ = {
            **self.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_GROUP_ID": group,
            "CLICKHOUSE_HOST": LOOPBACK,
            "CLICKHOUSE_PORT": str(self.clickhouse_port),
            "CLICKHOUSE_USER": ADMIN,
            "CLICKHOUSE_PASSWORD": self.clickhouse_password,
            "CLICKHOUSE_DATABASE": deployment.database,
            "CLICKHOUSE_ANALYTICS_DATABASE": deployment.analytics_database,
            "PSEUDONYM_KEY": PSEUDONYM_KEY,
            "METRICS_HOST": LOOPBACK,
            "METRICS_PORT": str(free_ports(1)[0]),
            **(settings or {}),
        }
        log = self.directory / f"etl-{uuid4().hex[:6]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ugc_etl", "run"],
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            etl = Etl(psutil.Process(process.pid), int(environ["METRICS_PORT"]), log)
            if not Deadline.after(_READY_S).poll(etl.is_ready):
                raise RuntimeError(f"the ETL is not ready: {log.read_text()[-2000:]}")
            yield etl
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@dataclass
class Etl:
    """A running ETL."""

    process: psutil.Process
    port: int
    log: Path
    peak_rss_mib: float = 0.0

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            return self._get("/readyz") is not None
        except OSError:
            return False

    def metric(self, pattern: str) -> float:
        """The sum of the metrics whose name and labels match. Costs the process some CPU."""
        found = re.findall(rf"^{pattern} (\S+)$", self._get("/metrics") or "", re.MULTILINE)
        return sum(map(float, found))

    def cpu_s(self) -> float:
        """What it has used since its start."""
        return cpu_s(self.process)

    def sample_memory(self) -> None:
        """Take note of the resident memory."""
        self.peak_rss_mib = max(self.peak_rss_mib, self.process.memory_info().rss / _MIB)
        status = Path(f"/proc/{self.process.pid}/status")
        if status.exists():  # the kernel's own high-water mark
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_rss_mib = max(self.peak_rss_mib, int(line.split()[1]) / 1024)

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}{path}") as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            error.close()
            return None


def cpu_s(process: psutil.Process) -> float:
    """User and system time of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def running_world(directory: Path) -> Iterator[World]:
    """Start both stores, stop them in the end."""
    environ = dict(os.environ)
    secrets = new_credentials()
    with ExitStack() as stack:
        guard = stack.enter_context(Guard())
        ports = ServerPorts(*free_ports(2))
        server = start_clickhouse(
            directory / "clickhouse",
            ports=ports,
            users=[User(ADMIN, secrets.admin_password)],
            environ=environ,
            guard=guard,
        )
        stack.callback(_stop, server)
        broker_ports = BrokerPorts(*free_ports(2))
        broker = start_broker(
            directory / "kafka",
            ports=broker_ports,
            repository=local_repository(environ),
            environ=environ,
            guard=guard,
            on_step=print,
        )
        stack.callback(_stop, broker)
        kafka = KafkaClient(bootstrap_servers(broker_ports))
        await_clickhouse(server, ports, Deadline.after(_READY_S))
        await_kafka(broker, kafka, Deadline.after(_READY_S))
        yield World(
            directory=directory,
            bootstrap_servers=kafka.bootstrap_servers,
            kafka=kafka,
            clickhouse_port=ports.native,
            clickhouse_password=secrets.admin_password,
            clickhouse_pid=server.pid,
            environ=environ,
        )


def _stop(process: Process) -> None:
    process.stop(grace_s=10.0)
