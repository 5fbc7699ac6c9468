import socket
import sys
from pathlib import Path

import pytest

# importlib mode adds no test folder to the path; samples and stores are shared by these tests.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def unused_port():
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def proxy(clickhouse):
    """Stands between a client and the server, and makes outages."""
    from stores import Proxy

    between = Proxy(clickhouse.host, clickhouse.native_port)
    yield between
    between.close()
