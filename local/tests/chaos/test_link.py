import socket
import threading

import pytest
from ugc_local.chaos.link import After, Network
from ugc_local.chaos.taps import Direction, Moment, Opaque
from ugc_local.deadline import Deadline

PATIENCE_S = 120.0
"""Costs nothing where all is well."""


class Marked(Opaque):
    """A piece of an exclamation mark is a moment, in either direction."""

    def see(self, direction, data):
        wanted = Moment.INSERT_SENT if direction is Direction.REQUESTS else Moment.INSERT_ANSWERED
        yield data, wanted if data.startswith(b"!") else None


class Echo:
    """Answers what it gets, and remembers it; `reset` tells how the last connection ended."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.got = b""
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    @property
    def address(self):
        return self.listener.getsockname()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                try:
                    while data := connection.recv(1 << 16):
                        self.got += data
                        connection.sendall(data)
                except OSError:
                    pass
            self.ended.set()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(PATIENCE_S)


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def link(echo):
    with Network() as network:
        yield network.link(echo.address, Marked)


@pytest.fixture
def client(link):
    with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as connection:
        yield connection


def has_got(echo, data):
    return Deadline.after(PATIENCE_S).poll(lambda: echo.got == data)


def silent(connection):
    """Nothing comes for a while."""
    connection.settimeout(0.2)
    try:
        return connection.recv(1) is None
    except TimeoutError:
        return True
    finally:
        connection.settimeout(PATIENCE_S)


def hears_the_end(connection):
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def refused(link):
    try:
        with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as connection:
            return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_bytes_pass_both_ways_and_so_does_the_end(link, client, echo):
    big = b"x" * 1_000_000
    sender = threading.Thread(target=client.sendall, args=(big,))
    sender.start()
    got = b""
    while len(got) < len(big):
        got += client.recv(1 << 16)
    sender.join()
    assert got == big
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert echo.got == big


@pytest.mark.parametrize(
    ("after", "arrives"), [(After.GO_ON, b"a!bcd"), (After.CUT, b"a"), (After.HALF, b"a!b")]
)
def test_a_request_is_frozen_and_goes_on_as_told(link, client, echo, after, arrives):
    at = link.break_at(Moment.INSERT_SENT)
    client.sendall(b"a")
    assert client.recv(9) == b"a"
    assert not at.wait(0)
    client.sendall(b"!bcd")
    assert at.wait(PATIENCE_S)
    assert echo.got == b"a"
    at.release(after)
    if after is After.GO_ON:
        assert client.recv(9) == b"!bcd"
    else:
        assert hears_the_end(client)
        assert echo.ended.wait(PATIENCE_S)
    assert echo.got == arrives


def test_a_reply_can_be_lost_after_the_server_has_acted(link, client, echo):
    at = link.break_at(Moment.INSERT_ANSWERED)
    client.sendall(b"!done")
    assert at.wait(PATIENCE_S)
    assert echo.got == b"!done"
    at.release(After.CUT)
    assert hears_the_end(client)


def test_a_muted_connection_stays_open_and_silent(link, client, echo):
    at = link.break_at(Moment.INSERT_ANSWERED)
    client.sendall(b"!done")
    assert at.wait(PATIENCE_S)
    at.release(After.MUTE)
    client.sendall(b"more")
    assert silent(client)
    assert has_got(echo, b"!donemore")


def test_a_frozen_request_of_a_client_that_died_still_arrives(link, echo):
    with socket.create_connection(("127.0.0.1", link.port)) as client:
        at = link.break_at(Moment.INSERT_SENT)
        client.sendall(b"!late")
        assert at.wait(PATIENCE_S)
    at.release(After.GO_ON)
    assert echo.ended.wait(PATIENCE_S)
    assert echo.got == b"!late"


def test_a_breakpoint_takes_one_connection_and_a_released_one_takes_none(link, client):
    first, second = (link.break_at(Moment.INSERT_SENT) for _ in range(2))
    second.release(After.GO_ON)
    client.sendall(b"!")
    assert first.wait(PATIENCE_S)
    first.release(After.GO_ON)
    assert client.recv(1) == b"!"
    client.sendall(b"!")
    assert client.recv(1) == b"!"
    assert not second.wait(0)
    assert link.passed[Moment.INSERT_SENT] == 2


def test_down_resets_what_is_there_and_refuses_what_comes_until_up(link, client):
    client.sendall(b"a")
    assert client.recv(1) == b"a"
    assert link.down() == 1
    assert hears_the_end(client)
    assert refused(link)
    assert link.refused == 1
    link.mend()
    with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as again:
        again.sendall(b"b")
        assert again.recv(1) == b"b"


def test_a_held_direction_waits_and_loses_nothing(link, client, echo):
    link.hold(Direction.REPLIES)
    client.sendall(b"abc")
    assert silent(client)
    assert has_got(echo, b"abc")
    link.mend()
    assert client.recv(3) == b"abc"
    assert link.held_up_s > 0.1


def test_a_slow_direction_takes_its_time(link, client):
    link.slow(Direction.REQUESTS, bytes_per_s=5000)
    client.sendall(b"x" * 1000)
    got = b""
    while len(got) < 1000:
        got += client.recv(1000)
    assert link.held_up_s >= 0.2


def test_a_store_that_is_down_looks_down(echo):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    with Network() as network:
        link = network.link(address, Opaque)
        assert refused(link)
        assert link.refused == 1
