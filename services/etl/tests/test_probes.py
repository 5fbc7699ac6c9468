import socket
import struct
import threading
import urllib.error
import urllib.request

import pytest
from ugc_etl.metrics import Metrics
from ugc_etl.probes import Health, serve


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(clock, stuck_after_s=30)


@pytest.fixture
def ask(health):
    server = serve("127.0.0.1", 0, health, Metrics())

    def get(path):
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{server.server_address[1]}{path}", timeout=5
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    yield get
    server.shutdown()
    server.server_close()
    assert all(thread.name != "probes" or not thread.is_alive() for thread in threading.enumerate())


def test_ready_when_nothing_is_missing(ask, health):
    assert ask("/readyz") == (503, "starting\n")
    health.waiting_for("waiting for topics: t")
    assert ask("/readyz") == (503, "waiting for topics: t\n")
    health.waiting_for("")
    assert ask("/readyz") == (200, "ready\n")


def test_alive_while_the_loop_turns(ask, health, clock):
    clock.now_s = 30.0
    assert ask("/healthz") == (200, "the loop turned 30.0 s ago\n")
    clock.now_s = 31.0
    assert ask("/healthz")[0] == 503
    health.turned()
    assert ask("/healthz")[0] == 200


def test_metrics_and_nothing_else(ask):
    status, text = ask("/metrics")
    assert status == 200
    assert "# TYPE etl_freshness_seconds histogram" in text
    assert ask("/")[0] == 404


def test_a_scraper_that_gives_up_leaves_no_trace(health, capfd, caplog):
    given_up = threading.Event()

    class Slow(Metrics):
        """Renders when nobody waits any more."""

        def render(self):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            given_up.set()
            return bytes(1 << 20)

    server = serve("127.0.0.1", 0, health, Slow())
    try:
        with socket.create_connection(("127.0.0.1", server.server_address[1])) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert given_up.wait(120)
            _join_requests()
    finally:
        server.shutdown()
        server.server_close()
    assert capfd.readouterr().err == ""
    assert not caplog.records


def test_what_fails_here_is_logged(health, caplog):
    class Broken(Metrics):
        def render(self):
            raise RuntimeError("no metrics today")

    server = serve("127.0.0.1", 0, health, Broken())
    try:
        with socket.create_connection(("127.0.0.1", server.server_address[1])) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert client.recv(1) == b""
            _join_requests()
    finally:
        server.shutdown()
        server.server_close()
    assert "no metrics today" in caplog.text


def _join_requests():
    for thread in threading.enumerate():
        if "process_request" in thread.name:
            thread.join(120)
            assert not thread.is_alive()
