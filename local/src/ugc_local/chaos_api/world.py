"""What the faults happen to: one broker, and one API behind two links.

apps ──▶ link ──▶ gunicorn ──▶ link ──▶ broker
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from ugc_events import FAMILIES

from ugc_local.chaos.link import Link, Network
from ugc_local.chaos.taps import KafkaTap, Opaque
from ugc_local.chaos.world import Store
from ugc_local.deadline import Deadline
from ugc_local.health import answers_ok
from ugc_local.kafka.broker import BrokerPorts, Listener, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.kafka.distribution import local_repository
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import Guard, Process, stop_all
from ugc_local.stores import await_kafka, await_ready

READY_S = 60.0
PARTITIONS = 3
_STOP_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How patient the API is. Less than in production: a fault is over sooner.

    Attributes:
        delivery_s: a request waits so long for Kafka.
        stop_grace_s: between SIGTERM and the end.
        margin_s: an answer may be that much later than `delivery_s`, on a busy machine.
    """

    delivery_s: float = 2.0
    stop_grace_s: int = 8
    margin_s: float = 2.0


class Api:
    """The API as it is deployed, started again by us as Kubernetes would.

    Attributes:
        url: behind the link, for apps.
        own_url: past it.
    """

    def __init__(self, link: Link, port: int, launch: Callable[[], Process]) -> None:
        self.link = link
        self.url = f"http://{LOOPBACK}:{link.port}"
        self.own_url = f"http://{LOOPBACK}:{port}"
        self.starts = 0
        self._launch = launch
        self.process = self._started()

    def _started(self) -> Process:
        self.starts += 1
        return self._launch()

    def start_again(self) -> None:
        """Start it if it has ended, and wait until it is ready."""
        if self.process.exit_status() is not None:
            self.process = self._started()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Raises ProcessExitedError or NotReadyError."""
        await_ready([self.process], self.is_ready, Deadline.after(READY_S))

    def is_ready(self) -> bool:
        """By its own word."""
        return answers_ok(f"{self.own_url}/readyz")

    def is_alive(self) -> bool:
        """By its own word."""
        return answers_ok(f"{self.own_url}/healthz")

    def worker(self) -> psutil.Process | None:
        """The process that serves; None while there is none."""
        try:
            children = psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return None
        return children[0] if children else None

    def rss_mib(self) -> float:
        """Resident memory of the worker; 0 while there is none."""
        worker = self.worker()
        try:
            return worker.memory_info().rss / (1 << 20) if worker else 0.0
        except psutil.NoSuchProcess:
            return 0.0

    def kill_all(self) -> None:
        """SIGKILL to the worker and to its parent, as when a container is killed."""
        worker = self.worker()
        self.process.kill()
        if worker is not None and worker.is_running():
            os.kill(worker.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that runs.

    Attributes:
        broker_link: between the API and it.
        broker_data: its directory of logs.
        client: of the broker, past every link.
        secret: of the tokens.
    """

    patience: Patience
    kafka: Store
    broker_link: Link
    broker_data: Path
    api: Api
    client: KafkaClient
    secret: str

    @property
    def latest_s(self) -> float:
        """Every answer comes within that."""
        return self.patience.delivery_s + self.patience.margin_s


@contextmanager
def build_world(
    directory: Path,
    environ: Mapping[str, str],
    *,
    patience: Patience,
    app: str = "ugc_api.wsgi:app",
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[World]:
    """Start everything in `directory`; on return the API is ready. In the end all is stopped.

    Raises ProcessExitedError or NotReadyError.
    """
    directory = directory.resolve()
    processes: list[Process] = []

    def kept(process: Process) -> Process:
        processes.append(process)
        return process

    with Guard() as guard, Network() as network:
        try:
            on_step("starting Kafka and the API")
            ports, (through, api_port) = BrokerPorts(*free_ports(2)), free_ports(2)
            broker_link = network.link((LOOPBACK, through), KafkaTap)
            launch_broker = partial(
                start_broker,
                directory / "kafka",
                ports=ports,
                repository=local_repository(environ),
                environ=environ,
                guard=guard,
                on_step=lambda _: None,
                listeners=[Listener("API", through, broker_link.port)],
            )
            client = KafkaClient(bootstrap_servers(ports))
            kafka = Store(
                "the broker",
                lambda: kept(launch_broker()),
                lambda process: await_kafka(process, client, Deadline.after(READY_S)),
            )
            kafka.wait_ready()
            client.create_topics(Topic(family.topic_of(""), PARTITIONS) for family in FAMILIES)
            secret = secrets.token_urlsafe(32)
            launch_api = partial(
                Process,
                "the API",
                [
                    *(sys.executable, "-m", "gunicorn"),
                    *("-c", "python:ugc_api.gunicorn_conf", app),
                ],
                log=directory / "logs" / "api.log",
                environ={
                    **environ,
                    "API_BIND": f"{LOOPBACK}:{api_port}",
                    "API_STOP_GRACE_S": str(patience.stop_grace_s),
                    "JWT_SECRET": secret,
                    "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{broker_link.port}",
                    "KAFKA_DELIVERY_TIMEOUT_MS": str(int(patience.delivery_s * 1000)),
                },
                cwd=directory,
                guard=guard,
            )
            api = Api(
                network.link((LOOPBACK, api_port), Opaque), api_port, lambda: kept(launch_api())
            )
            api.wait_ready()
            yield World(
                patience=patience,
                kafka=kafka,
                broker_link=broker_link,
                broker_data=directory / "kafka" / "data",
                api=api,
                client=client,
                secret=secret,
            )
        finally:
            for process in processes:
                if process.exit_status() is None:
                    os.kill(process.pid, signal.SIGCONT)
            stop_all(processes, grace_s=_STOP_S)
