"""ClickHouse and Kafka as the stack and the tests start them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ugc_local.clickhouse.configuration import ServerPorts, User, server_argv, write_configuration
from ugc_local.deadline import Deadline
from ugc_local.health import answers_ok
from ugc_local.kafka.client import KafkaClient
from ugc_local.ports import LOOPBACK
from ugc_local.process import Guard, Process


class NotReadyError(Exception):
    """A process runs but did not become ready in time; the message has its last log lines."""


def start_clickhouse(
    directory: Path,
    *,
    ports: ServerPorts,
    users: Sequence[User],
    environ: Mapping[str, str],
    guard: Guard,
) -> Process:
    """Start the ClickHouse server that keeps its data in `directory`; not ready yet on return."""
    # Not where it runs: the chdb engine takes a config.xml of its working directory for its own,
    # as soon as it is imported.
    config = write_configuration(
        directory / "server", ports=ports, users=users, listen_host=LOOPBACK
    )
    return Process(
        "clickhouse",
        server_argv(config, environ),
        log=directory / "clickhouse.log",
        environ=environ,
        cwd=directory,
        guard=guard,
    )


def await_clickhouse(process: Process, ports: ServerPorts, deadline: Deadline) -> None:
    """Return once the server answers; raises ProcessExitedError or NotReadyError."""
    await_ready([process], lambda: answers_ok(f"{http_url(ports)}/ping"), deadline)


def await_kafka(process: Process, client: KafkaClient, deadline: Deadline) -> None:
    """Return once the broker answers; raises ProcessExitedError or NotReadyError."""
    await_ready([process], client.is_ready, deadline)


def await_ready(
    processes: Sequence[Process], condition: Callable[[], bool], deadline: Deadline
) -> None:
    """Poll `condition`, for as long as all of `processes` run and the deadline has not passed."""

    def ready() -> bool:
        for process in processes:
            process.require_running()
        return condition()

    if not deadline.poll(ready):
        names = " and ".join(process.name for process in processes)
        words = " ".join(process.last_words() for process in processes)
        raise NotReadyError(f"{names} runs but was not ready in time. {words}")


def http_url(ports: ServerPorts) -> str:
    """The address for analysts."""
    return f"http://{LOOPBACK}:{ports.http}"
