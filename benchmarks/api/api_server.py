"""The real broker, and workers as they are deployed, for the measurements here."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
from api_load import Plan, Result
from ugc_events import FAMILIES
from ugc_local.deadline import Deadline
from ugc_local.health import answers_ok
from ugc_local.kafka.broker import BrokerPorts, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.kafka.distribution import local_repository
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import Guard, Process
from ugc_local.stores import await_kafka, await_ready

HERE = Path(__file__).parent
PARTITIONS = 6
_READY_S = 90.0
_MIB = 1 << 20
# A long soak must not fill the disk.
_RETENTION = {"retention.bytes": str(64 * _MIB), "segment.bytes": str(16 * _MIB)}


@dataclass(frozen=True)
class Worker:
    """One gunicorn with its one worker."""

    port: int
    secret: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """User and system time since its start, of all its threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_mib(self) -> float:
        """Resident now."""
        return float(self.process.memory_info().rss) / _MIB

    def load(self, **plan: object) -> Result:
        """Send it a load from another process, and wait for the end."""
        given = {"port": self.port, "secret": self.secret, **plan}
        done = subprocess.run(
            [sys.executable, str(HERE / "api_load.py")],
            input=msgspec.json.encode(msgspec.convert(given, Plan)),
            stdout=subprocess.PIPE,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=Result)

    def scrape(self) -> str:
        """Its metrics, as Prometheus asks for them."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/metrics") as answer:
            return str(answer.read().decode())


@dataclass(frozen=True)
class World:
    """The broker with the API's topics, the API, and the bare route."""

    kafka: KafkaClient
    api: Worker
    bare: Worker

    def records(self) -> int:
        """How many the broker has taken."""
        names = [family.topic_of("") for family in FAMILIES]
        return sum(sum(self.kafka.end_offsets(name).values()) for name in names)


@contextmanager
def running_world(
    directory: Path, environ: Mapping[str, str], api_module: str = "ugc_api.wsgi:app"
) -> Iterator[World]:
    """Start everything, stop it in the end."""
    with ExitStack() as stack:
        guard = stack.enter_context(Guard())
        ports = BrokerPorts(*free_ports(2))
        broker = start_broker(
            directory / "kafka",
            ports=ports,
            repository=local_repository(environ),
            environ=environ,
            guard=guard,
            on_step=print,
        )
        stack.callback(broker.stop, grace_s=10.0)
        kafka = KafkaClient(bootstrap_servers(ports))
        await_kafka(broker, kafka, Deadline.after(_READY_S))
        kafka.create_topics(
            Topic(family.topic_of(""), PARTITIONS, _RETENTION) for family in FAMILIES
        )
        workers = [
            _start(stack, guard, directory, environ, kafka.bootstrap_servers, *names)
            for names in (
                ("api", "ugc_api.gunicorn_conf", api_module),
                ("bare", "bare_conf", "bare_app:app"),
            )
        ]
        yield World(kafka, *workers)


def _start(
    stack: ExitStack,
    guard: Guard,
    directory: Path,
    environ: Mapping[str, str],
    kafka: str,
    name: str,
    configuration: str,
    app: str,
) -> Worker:
    port, secret = free_ports(1)[0], secrets.token_urlsafe(32)
    process = Process(
        name,
        [sys.executable, "-m", "gunicorn", "-c", f"python:{configuration}", app],
        log=directory / f"{name}.log",
        environ={
            **environ,
            "PYTHONPATH": str(HERE),
            "API_BIND": f"{LOOPBACK}:{port}",
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "JWT_SECRET": secret,
        },
        cwd=directory,
        guard=guard,
    )
    stack.callback(process.stop, grace_s=30.0)
    path = "readyz" if name == "api" else "healthz"
    await_ready(
        [process], lambda: answers_ok(f"http://{LOOPBACK}:{port}/{path}"), Deadline.after(_READY_S)
    )
    (worker,) = psutil.Process(process.pid).children()
    return Worker(port, secret, worker)


def write_json(path: Path, figures: Mapping[str, float]) -> None:
    """Write a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")
