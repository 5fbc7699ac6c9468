"""TCP ports of the loopback interface."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping

import msgspec

LOOPBACK = "127.0.0.1"

# Below the ranges from which Linux (32768-60999) and macOS (49152-65535) give ports to outgoing
# connections: a port from there may be taken by any client between this choice and the server's
# start, or while a server restarts.
_FIRST_PORT, _LAST_PORT = 20_000, 32_767


class PortTakenError(Exception):
    """A port that was asked for cannot be had; its message says which and what to do."""


def free_ports(count: int) -> list[int]:
    """Choose `count` different ports that nothing listens on at this moment.

    Nothing reserves them, so start the servers soon.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT + 1)
        if port not in chosen and is_free(port):
            chosen.append(port)
    return chosen


class PortNumbers(msgspec.Struct, frozen=True):
    """Every port that a stack listens on."""

    kafka: int
    kafka_controller: int
    clickhouse_native: int
    clickhouse_http: int
    api: int
    etl_metrics: tuple[int, ...]

    def all(self) -> tuple[int, ...]:
        return (
            *(self.kafka, self.kafka_controller, self.clickhouse_native, self.clickhouse_http),
            *(self.api, *self.etl_metrics),
        )


def choose_ports(
    given: Mapping[str, int], remembered: PortNumbers | None, consumers: int
) -> PortNumbers:
    """The ports of a stack with so many ETL consumers.

    Those `given`, by the names of PortNumbers, which must be free; else those of the last run,
    so that its addresses go on to be right, where they are free; else any. Raises PortTakenError.
    """
    twice = {port for port in given.values() if list(given.values()).count(port) > 1}
    if twice:
        raise PortTakenError(f"port {min(twice)} is asked for twice: choose different ones")
    require_free({_PURPOSES[name]: port for name, port in given.items()})
    taken = set(given.values())

    def pick(port: int | None) -> int:
        if port is None or port in taken or not is_free(port):
            port = next(free for free in free_ports(len(taken) + 1) if free not in taken)
        taken.add(port)
        return port

    old = msgspec.structs.asdict(remembered) if remembered else {}
    old_metrics = old.pop("etl_metrics", ())
    single = {name: given[name] if name in given else pick(old.get(name)) for name in _PURPOSES}
    metrics = [pick(port) for port in old_metrics[:consumers]]
    metrics += [pick(None) for _ in range(consumers - len(metrics))]
    return PortNumbers(**single, etl_metrics=tuple(metrics))


_PURPOSES = {
    "kafka": "Kafka",
    "kafka_controller": "Kafka's controller",
    "clickhouse_native": "ClickHouse's native protocol",
    "clickhouse_http": "ClickHouse's HTTP",
    "api": "the API",
}


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback interface now."""
    return _refusal(port) is None


def _refusal(port: int) -> OSError | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error
    return None


def require_free(ports: Mapping[str, int]) -> None:
    """Raise PortTakenError that names those of `ports` (what for → port) that are in use."""
    refused = {f"{port} ({purpose})": _refusal(port) for purpose, port in ports.items()}
    forbidden = [name for name, error in refused.items() if isinstance(error, PermissionError)]
    if forbidden:
        raise PortTakenError(
            f"only root may listen on port {', '.join(forbidden)}: choose one above 1023"
        )
    taken = [name for name, error in refused.items() if error is not None]
    if taken:
        raise PortTakenError(
            f"another process listens on {LOOPBACK}, port {', '.join(taken)}: "
            "stop it or choose another port"
        )
