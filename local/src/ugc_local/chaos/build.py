"""Starts the world, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ugc_events import FAMILIES, registry

from ugc_local.chaos.consumer import Consumer
from ugc_local.chaos.link import Network
from ugc_local.chaos.taps import ClickHouseTap, KafkaTap
from ugc_local.chaos.world import GROUP, Size, Store, Timing, World
from ugc_local.clickhouse.configuration import ServerPorts, User
from ugc_local.credentials import ADMIN, new_credentials
from ugc_local.deadline import Deadline
from ugc_local.demo.analyst import Analyst
from ugc_local.kafka.broker import BrokerPorts, Listener, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.kafka.distribution import local_repository
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import Guard, Process, ProcessExitedError, stop_all
from ugc_local.stores import await_clickhouse, await_kafka, http_url, start_clickhouse

_STOP_S = 15.0


@contextmanager
def build_world(
    directory: Path,
    environ: Mapping[str, str],
    *,
    timing: Timing,
    size: Size,
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[World]:
    """Start everything in `directory`; on return all consumers are ready.

    Raises ProcessExitedError or NotReadyError. At the end nothing is left running.
    """
    processes: list[Process] = []
    with Guard() as guard, Network() as network:
        try:
            builder = _Builder(directory, environ, timing, size, guard, network, processes)
            on_step("starting ClickHouse and Kafka")
            world = builder.build()
            on_step(f"starting {size.consumers} ETL processes")
            for consumer in world.consumers[: size.consumers]:
                consumer.start()
            ready = Deadline.after(timing.ready_s)
            for consumer in world.consumers[: size.consumers]:
                if not ready.poll(consumer.is_ready, interval_s=0.1):
                    raise ProcessExitedError(f"{consumer.name} is not ready")
            yield world
        finally:
            for process in processes:
                if process.exit_status() is None:
                    os.kill(process.pid, signal.SIGCONT)
            stop_all(processes, grace_s=_STOP_S)


class _Builder:
    def __init__(
        self,
        directory: Path,
        environ: Mapping[str, str],
        timing: Timing,
        size: Size,
        guard: Guard,
        network: Network,
        processes: list[Process],
    ) -> None:
        self._directory = directory.resolve()
        self._environ = dict(environ)
        self._timing = timing
        self._size = size
        self._guard = guard
        self._network = network
        self._processes = processes
        self._secrets = new_credentials()
        self._broker_ports = BrokerPorts(*free_ports(2))
        self._server_ports = ServerPorts(*free_ports(2))

    def build(self) -> World:
        slots = self._size.places
        slot_ports = free_ports(2 * slots)
        links = [
            (
                self._network.link((LOOPBACK, port), KafkaTap),
                self._network.link((LOOPBACK, self._server_ports.native), ClickHouseTap),
            )
            for port in slot_ports[:slots]
        ]
        listeners = [
            Listener(f"PLACE{number}", port, kafka.port)
            for number, (port, (kafka, _)) in enumerate(
                zip(slot_ports[:slots], links, strict=True), 1
            )
        ]
        client = KafkaClient(bootstrap_servers(self._broker_ports))
        clickhouse = Store("ClickHouse", self._start_clickhouse, self._await_clickhouse)
        kafka = Store(
            "the broker",
            partial(self._start_broker, listeners),
            lambda process: await_kafka(process, client, self._deadline()),
        )
        clickhouse.wait_ready()
        admin = Analyst(http_url(self._server_ports), ADMIN, self._secrets.admin_password)
        base = self._etl_environ(
            bootstrap_servers(self._broker_ports), self._server_ports.native, 0
        )
        self._migrate(base)
        kafka.wait_ready()
        client.create_topics(
            Topic(spec.name, self._size.partitions if spec.partitioned else 1, spec.config)
            for spec in registry.topics()
        )
        consumers = []
        for number, (pair, port) in enumerate(zip(links, slot_ports[slots:], strict=True), 1):
            name = f"etl-{number}"
            launch = partial(self._start_etl, name, pair[0].port, pair[1].port, port)
            consumers.append(Consumer(name, *pair, port, launch))
        return World(
            directory=self._directory,
            timing=self._timing,
            kafka=kafka,
            clickhouse=clickhouse,
            client=client,
            admin=admin,
            consumers=tuple(consumers),
            environ=base,
            partitions=self._size.partitions * len(FAMILIES),
        )

    def _start_clickhouse(self) -> Process:
        return self._keep(
            start_clickhouse(
                self._directory / "clickhouse",
                ports=self._server_ports,
                users=[User(ADMIN, self._secrets.admin_password)],
                environ=self._environ,
                guard=self._guard,
            )
        )

    def _await_clickhouse(self, process: Process) -> None:
        await_clickhouse(process, self._server_ports, self._deadline())

    def _start_broker(self, listeners: list[Listener]) -> Process:
        return self._keep(
            start_broker(
                self._directory / "kafka",
                ports=self._broker_ports,
                repository=local_repository(self._environ),
                environ=self._environ,
                guard=self._guard,
                on_step=lambda _: None,
                listeners=listeners,
                # The broker's own least is 6 s.
                overrides={"group.min.session.timeout.ms": 1000},
            )
        )

    def _migrate(self, environ: Mapping[str, str]) -> None:
        migration = self._run("migrate", environ)
        if migration.wait(self._deadline()):
            raise ProcessExitedError(f"the migration failed. {migration.last_words()}")

    def _start_etl(self, name: str, kafka: int, clickhouse: int, metrics: int) -> Process:
        environ = self._etl_environ(f"{LOOPBACK}:{kafka}", clickhouse, metrics)
        return self._run("run", environ, name)

    def _run(self, command: str, environ: Mapping[str, str], name: str | None = None) -> Process:
        name = name or command
        return self._keep(
            Process(
                name,
                [sys.executable, "-m", "ugc_etl", command],
                log=self._directory / "logs" / f"{name}.log",
                environ=environ,
                cwd=self._directory,
                guard=self._guard,
            )
        )

    def _etl_environ(self, kafka: str, clickhouse: int, metrics: int) -> dict[str, str]:
        timing = self._timing
        return self._environ | {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "KAFKA_GROUP_ID": GROUP,
            "KAFKA_SESSION_TIMEOUT_MS": str(int(timing.session_s * 1000)),
            "CLICKHOUSE_HOST": LOOPBACK,
            "CLICKHOUSE_PORT": str(clickhouse),
            "CLICKHOUSE_USER": ADMIN,
            "CLICKHOUSE_PASSWORD": self._secrets.admin_password,
            "PSEUDONYM_KEY": self._secrets.pseudonym_key,
            "METRICS_HOST": LOOPBACK,
            "METRICS_PORT": str(metrics),
            # Many small batches: there is nearly always one in flight.
            "BATCH_MAX_AGE_MS": "200",
            "INSERTS_PER_S_TARGET": "6",
            "INSERT_TIMEOUT_S": str(timing.insert_timeout_s),
            "INSERT_DEADLINE_S": str(timing.insert_deadline_s),
            "SHUTDOWN_GRACE_S": str(timing.insert_timeout_s + 2),
        }

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timing.ready_s)

    def _keep(self, process: Process) -> Process:
        self._processes.append(process)
        return process
