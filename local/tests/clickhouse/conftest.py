"""One embedded server a module, as a process of its own, on free ports."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest
from clickhouse_driver import Client
from clickhouse_driver.protocol import ClientPacketTypes
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str
from ugc_local.clickhouse.configuration import ServerPorts, User, write_configuration

USERS = (
    User("default", ""),
    User("etl", "etl's secret"),
    User("analyst", "look", "analyst"),
    User("reader", "only", "readonly"),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> int:
        return int(self.headers.get("X-ClickHouse-Exception-Code", "0"))


@dataclass
class Server:
    directory: Path
    users: tuple[User, ...] = USERS
    ports: ServerPorts = field(init=False)
    config: Path = field(init=False)
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ports = ServerPorts(free_port(), free_port())
        self.config = write_configuration(self.directory, ports=self.ports, users=self.users)
        self.start()

    def start(self) -> None:
        self.process = self.launch()
        line = self.process.stdout.readline()
        assert line.startswith("Ready: "), (line, self.process.communicate()[1])

    def launch(self, config: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ugc_local.clickhouse",
                "--config-file",
                str(config or self.config),
            ],
            cwd=(config or self.config).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> int:
        self.process.terminate()
        return self.reap()

    def kill(self) -> int:
        self.process.kill()
        return self.reap()

    def reap(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode

    @contextmanager
    def client(self, **options: object) -> Iterator[Client]:
        client = Client("127.0.0.1", port=self.ports.native, **options)
        try:
            yield client
        finally:
            client.disconnect()

    def http(
        self,
        sql: str | None = None,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        *,
        method: str | None = None,
        path: str = "/",
        **params: str,
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.http, timeout=60)
        if sql is not None:
            params["query"] = sql
        method = method or ("GET" if body is None else "POST")
        try:
            connection.request(method, f"{path}?{urlencode(params)}", body, headers or {})
            response = connection.getresponse()
            return Reply(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def ask(self, sql: str) -> str:
        reply = self.http(body=sql.encode())
        assert reply.status == 200, reply.body
        return reply.body.decode().removesuffix("\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("clickhouse"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill."""
    running = Server(tmp_path)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as made:
        yield made


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool], within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            pause.wait(0.02)

    return wait


@pytest.fixture
def write_native_block() -> Callable[[Client, bytes], None]:
    """Sends a data packet of ready-made bytes, as the ETL does."""

    def write(client: Client, data: bytes) -> None:
        connection = client.connection
        write_varint(ClientPacketTypes.DATA, connection.fout)
        write_binary_str("", connection.fout)
        if connection.compression:
            out = connection.block_out
            out.fout.write(b"\x01\x00\x02\xff\xff\xff\xff\x00" + data)
            out.finalize()
        else:
            connection.fout.write(b"\x01\x00\x02\xff\xff\xff\xff\x00" + data)
            connection.fout.flush()

    return write
