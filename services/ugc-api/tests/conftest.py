import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from flask.testing import FlaskClient

# importlib mode adds no test folder to the path; samples and contracts are shared by this
# folder's tests.
sys.path.insert(0, str(Path(__file__).parent))

from api_samples import NOW_MS, settings
from gunicorn_process import COMMAND, Server, environment, poll
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from ugc_local.ports import free_ports


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def client(sink: MemorySink) -> FlaskClient:
    return create_app(settings(), sink, clock_ms=lambda: NOW_MS).test_client()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(
        bootstrap_servers: str, *, command: Sequence[str] = COMMAND, **changes: str
    ) -> Server:
        port = free_ports(1)[0]
        process = subprocess.Popen(
            command,
            env=environment(
                API_BIND=f"127.0.0.1:{port}", KAFKA_BOOTSTRAP_SERVERS=bootstrap_servers, **changes
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        server = Server(port, process)
        servers.append(server)
        poll(lambda: process.poll() is not None or server.status("/healthz") == 200)
        assert process.poll() is None, process.communicate()[0]
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.terminate()
        try:
            server.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.communicate()
            raise
