"""TCP ports of the loopback interface."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping

LOOPBACK = "127.0.0.1"

# Below the ranges from which Linux (32768-60999) and macOS (49152-65535) give ports to outgoing
# connections: a port from there may be taken by any client between this choice and the server's
# start, or while a server restarts.
_FIRST_PORT, _LAST_PORT = 20_000, 32_767


class PortTakenError(Exception):
    """A port that was asked for is in use; its message says which and what to do."""


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


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def require_free(ports: Mapping[str, int]) -> None:
    """Raise PortTakenError that names every port of `ports` (what for → port) in use."""
    taken = [f"{port} ({purpose})" for purpose, port in ports.items() if not is_free(port)]
    if taken:
        raise PortTakenError(
            f"another process listens on {LOOPBACK}, port {', '.join(taken)}: "
            "stop it or choose another port"
        )
