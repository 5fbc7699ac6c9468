"""Sends prepared requests and reads the answers, in a process of its own.

    python benchmarks/api/api_load.py  (a Plan as JSON on standard input, a Result on the output)

One thread and one selector: about 30 µs of CPU a request, so that the worker is the limit. With a
rate the load is open: a request's latency counts from when it was due, whether or not a connection
was free then.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence

import msgspec
from api_traffic import Request, requests

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_READ_BYTES = 1 << 20
_LAST_ANSWERS_S = 20.0


class Plan(msgspec.Struct, kw_only=True):
    """What to send.

    Attributes:
        size: events of one request; 1 is a bare object.
        viewers: each with a request and a token of its own.
        bodies: how many different ones there are.
        connections: kept alive.
        seconds: of the load.
        per_s: requests a second; 0: each connection sends when it has its answer.
    """

    port: int
    secret: str
    size: int
    viewers: int
    bodies: int
    connections: int
    seconds: float
    per_s: float = 0.0
    seed: int = 1


class Result(msgspec.Struct, kw_only=True):
    """What came of it.

    Attributes:
        statuses: answers by HTTP status.
        seconds: from the first request to the last answer.
        cpu_s: of this process, while it sent.
        began_s, ended_s: by the monotonic clock.
        p50_ms, p99_ms, max_ms: of the latencies.
    """

    statuses: dict[str, int]
    seconds: float
    cpu_s: float
    began_s: float
    ended_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class Load:
    """The connections of one load.

    Args:
        requests: sent in turn.
    """

    def __init__(self, port: int, connections: int, requests: Sequence[Request]) -> None:
        self.statuses: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self._requests = requests
        self._next = 0
        self._selector = selectors.DefaultSelector()
        self._free: deque[socket.socket] = deque()
        self._due_s: dict[socket.socket, float] = {}
        self._partial: dict[socket.socket, bytes] = {}
        for _ in range(connections):
            made = socket.create_connection(("127.0.0.1", port))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(made, selectors.EVENT_READ)
            self._free.append(made)

    def run(self, seconds: float, per_s: float) -> None:
        """Send, and wait for the last answers. Raises RuntimeError when they do not come."""
        began_s = time.monotonic()
        end_s, sent = began_s + seconds, 0
        while (now_s := time.monotonic()) < end_s:
            wait_s = end_s - now_s
            while self._free:
                due_s = began_s + sent / per_s if per_s else now_s
                if due_s > now_s:
                    wait_s = min(wait_s, due_s - now_s)
                    break
                self._send(self._free.popleft(), due_s)
                sent += 1
            self._receive(wait_s)
        while self._due_s:
            if time.monotonic() > end_s + _LAST_ANSWERS_S:
                raise RuntimeError(f"{len(self._due_s)} requests have no answer")
            self._receive(1.0)

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _send(self, connection: socket.socket, due_s: float) -> None:
        head, body = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        self._due_s[connection] = due_s
        connection.sendall(head + body)

    def _receive(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            connection: socket.socket = key.fileobj  # type: ignore[assignment]
            data = connection.recv(_READ_BYTES)
            if not data:
                raise RuntimeError("the server has closed a connection")
            data = self._partial.pop(connection, b"") + data
            if not _whole(data):
                self._partial[connection] = data
                continue
            self.statuses[data[9:12].decode()] += 1
            self.latencies_s.append(time.monotonic() - self._due_s.pop(connection))
            self._free.append(connection)


def _whole(answer: bytes) -> bool:
    end = answer.find(_END)
    if end < 0:
        return False
    head = answer[:end].lower()
    at = head.index(_LENGTH) + len(_LENGTH)
    length = int(head[at:].split(b"\r\n", 1)[0])
    return len(answer) >= end + len(_END) + length


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value below which that share lies."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def main() -> None:
    """Read the plan, send, tell."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    made = requests(
        plan.secret, viewers=plan.viewers, size=plan.size, bodies=plan.bodies, seed=plan.seed
    )
    load = Load(plan.port, plan.connections, made)
    began_s, cpu_s = time.monotonic(), time.process_time()
    load.run(plan.seconds, plan.per_s)
    ended_s, cpu_s = time.monotonic(), time.process_time() - cpu_s
    load.close()
    ascending = sorted(load.latencies_s)
    result = Result(
        statuses=dict(load.statuses),
        seconds=ended_s - began_s,
        cpu_s=cpu_s,
        began_s=began_s,
        ended_s=ended_s,
        p50_ms=quantile(ascending, 0.5) * 1000,
        p99_ms=quantile(ascending, 0.99) * 1000,
        max_ms=ascending[-1] * 1000,
    )
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
