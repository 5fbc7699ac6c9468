"""Real stores for the tests that need them: names of their own, and the ETL as a process."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from ugc_etl.adapters.clickhouse import ClickHouse, ClickHouseAddress
from ugc_etl.schema import Deployment
from ugc_events.registry import topics
from ugc_local.kafka.client import Topic

PATIENCE_S = 180.0
"""Costs nothing where all is well, and a machine may have twenty times as much to do as it can."""


def eventually(
    what: Callable[[], Any], timeout_s: float = PATIENCE_S, every_s: float = 0.05
) -> Any:
    """Poll until `what` is true, and give its value."""
    until_s = time.monotonic() + timeout_s
    while True:
        if value := what():
            return value
        assert time.monotonic() < until_s, f"not within {timeout_s} s"
        time.sleep(every_s)


def new_prefix() -> str:
    return f"t{uuid4().hex[:10]}."


def create_topics(kafka: Any, prefix: str, partitions: int) -> None:
    kafka.client.create_topics(
        Topic(spec.name, partitions if spec.partitioned else 1, spec.config)
        for spec in topics(prefix)
    )


def new_deployment() -> Deployment:
    name = uuid4().hex[:10]
    return Deployment(database=f"ugc_{name}", analytics_database=f"analytics_{name}")


def connect(clickhouse: Any, **changes: Any) -> ClickHouse:
    user, password = clickhouse.admin
    address = {
        "host": clickhouse.host,
        "port": clickhouse.native_port,
        "user": user,
        "password": password,
    }
    return ClickHouse(ClickHouseAddress(**(address | changes)), time.time)


class Etl:
    """`python -m ugc_etl run` as a process."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ugc_etl", "run"],
                env=os.environ | environ, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def get(self, path: str) -> tuple[int, str]:
        """Ask the probes; (0, "") while nobody listens."""
        assert self.process.poll() is None, self.log.read_text()
        port = self._port()
        if port is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def _port(self) -> str | None:
        marker = "metrics and probes on port "
        found = [line for line in self.log.read_text().splitlines() if marker in line]
        return found[-1].split(marker)[1].split('"')[0] if found else None


@contextmanager
def running_etl(environ: dict[str, str], log: Path) -> Iterator[Etl]:
    etl = Etl(environ, log)
    try:
        yield etl
    finally:
        if etl.process.poll() is None:
            etl.process.kill()
            etl.process.wait(PATIENCE_S)


def etl_environ(kafka: Any, clickhouse: Any, deployment: Deployment, prefix: str) -> dict[str, str]:
    user, password = clickhouse.admin
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_GROUP_ID": f"{prefix}etl",
        "CLICKHOUSE_HOST": clickhouse.host,
        "CLICKHOUSE_PORT": str(clickhouse.native_port),
        "CLICKHOUSE_USER": user,
        "CLICKHOUSE_PASSWORD": password,
        "CLICKHOUSE_DATABASE": deployment.database,
        "CLICKHOUSE_ANALYTICS_DATABASE": deployment.analytics_database,
        "PSEUDONYM_KEY": "a key of the tests, 32 bytes long",
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": "0",
    }


class Proxy:
    """Passes bytes to a server; `cut` and `mend` make an outage.

    It swallows the answers once a piece of a request is larger than `swallow_behind_bytes`.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.swallow_behind_bytes = float("inf")
        self.swallowing = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._lock = threading.Lock()
        self._down = False
        self._sockets: list[socket.socket] = []
        self._passers: list[threading.Thread] = []
        self._accepter = threading.Thread(target=self._accept)
        self._accepter.start()

    def cut(self) -> None:
        """End every connection, and new ones at once."""
        with self._lock:
            self._down = True
            for one in self._sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._passers:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def mend(self) -> None:
        """Pass bytes again."""
        with self._lock:
            self._down = False

    def close(self) -> None:
        """Cut, and stop listening."""
        self.cut()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._accepter.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self._lock:
                if self._down:
                    client.close()
                    continue
                server = socket.create_connection(self.target)
                self._sockets += [client, server]
                for source, sink, answers in ((client, server, False), (server, client, True)):
                    thread = threading.Thread(target=self._pass, args=(source, sink, answers))
                    self._passers.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if answers and self.swallowing:
                    continue
                if not answers and len(data) > self.swallow_behind_bytes:
                    self.swallowing = True
                sink.sendall(data)
        except OSError:
            return
        finally:
            # The other side hears of the end, as it would without a proxy.
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)
