"""The worker against clients that do not behave; each test has a gunicorn process of its own."""

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest
from api_samples import tick, token
from gunicorn_process import COMMAND, Server, poll
from ugc_api.arrival import MAX_CHUNKS
from ugc_local.ports import free_ports

HEAD = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = 60
"""Connections of each attack: many times the threads."""


@pytest.fixture
def client_timeout_s() -> int:
    """How patient the server is with clients. A test overrides it that has to be faster."""
    return 5


@pytest.fixture
def server(start: Callable[..., Server], client_timeout_s: int) -> Server:
    return start(
        f"127.0.0.1:{free_ports(1)[0]}",
        API_CONCURRENCY="4",
        API_CLIENT_TIMEOUT_S=str(client_timeout_s),
        API_MAX_BODY_BYTES="2000000",
        API_MAX_HELD_KBYTES="4096",
        KAFKA_DELIVERY_TIMEOUT_MS="1000",
    )


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[[bytes], socket.socket]]:
    with ExitStack() as stack:

        def connect(first: bytes) -> socket.socket:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 20))
            sock.sendall(first)
            return sock

        yield connect


def answer(sock: socket.socket) -> bytes:
    """All that comes until the server closes."""
    said = b""
    try:
        while piece := sock.recv(65536):
            said += piece
    except ConnectionResetError:
        pass  # closed all the same
    return said


def healthy(server: Server, times: int = 10) -> None:
    """Requests are answered."""
    assert [server.status("/healthz", timeout_s=10) for _ in range(times)] == [200] * times


def cut(server: Server, reason: str) -> float:
    for line in server.request("GET", "/metrics")[2].splitlines():
        if line.startswith(f'ugc_api_connections_cut_total{{reason="{reason}"}} '):
            return float(line.split()[-1])
    return 0.0


@pytest.mark.parametrize("client_timeout_s", [12])
def test_requests_that_come_slowly_hold_up_nobody_and_are_cut(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    begun = [
        HEAD,
        b"P",
        HEAD + b"Content-Length: 1000\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n500\r\nhel",
        HEAD + b"Expect: 100-continue\r\nContent-Length: 500\r\n\r\n",
    ]
    slow = [connect(first) for first in begun * (SLOW // len(begun))]
    for _ in range(5):
        for sock in slow:
            sock.sendall(b"X")
        healthy(server, 2)
    # All that while, none of them had been cut.
    assert cut(server, "slow") == 0
    assert all(b" 408 Request Timeout\r\n" in answer(sock) for sock in slow)
    assert cut(server, "slow") == SLOW
    healthy(server)


def test_connections_that_say_nothing_are_closed(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    silent = [connect(b"") for _ in range(SLOW)]
    healthy(server)
    assert [answer(sock) for sock in silent] == [b""] * SLOW


def test_more_connections_than_files_hold_up_nobody(start: Callable[..., Server]) -> None:
    few = ["sh", "-c", 'ulimit -n 160; exec "$@"', "few-files", *COMMAND]
    server = start(f"127.0.0.1:{free_ports(1)[0]}", command=few, API_CONCURRENCY="4")
    with ExitStack() as stack:
        for begun in (b"", HEAD, GET):
            for _ in range(100):
                sock = socket.create_connection(("127.0.0.1", server.port), 10)
                stack.enter_context(sock).sendall(begun)
            healthy(server, 5)
        assert cut(server, "connections") > 0


def test_an_idle_connection_makes_room_before_one_whose_request_may_be_on_its_way(
    start: Callable[..., Server],
) -> None:
    few = ["sh", "-c", 'ulimit -n 160; exec "$@"', "few-files", *COMMAND]
    server = start(f"127.0.0.1:{free_ports(1)[0]}", command=few, API_CONCURRENCY="4")
    with ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 20))

        def asked(sock: socket.socket) -> bool:
            sock.sendall(GET)
            return sock.recv(65536).startswith(b"HTTP/1.1 200 ")

        assert all(asked(connect()) for _ in range(100))
        # More than the threads, which is what gunicorn keeps free of idle connections by itself.
        just_come = [connect() for _ in range(20)]
        assert all(asked(connect()) for _ in range(20))
        assert all(asked(sock) for sock in just_come)
        assert cut(server, "connections") > 0


def test_clients_that_do_not_close_hold_up_nobody(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    left = [connect(request) for _ in range(SLOW)]
    healthy(server)
    assert all(b" 200 OK\r\n" in answer(sock) for sock in left)


def test_clients_that_do_not_read_hold_up_nobody(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    # One connection, so many requests that their answers fit into no buffer of the kernel.
    requests = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 1500
    deaf = [connect(requests) for _ in range(6)]
    poll(lambda: cut(server, "unread") == len(deaf))
    healthy(server)
    for sock in deaf:
        sock.close()


def test_files_that_are_not_read_hold_up_nobody(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    request = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n"
    worker = psutil.Process(server.process.pid).children()[0]
    healthy(server, 1)
    before = worker.memory_info().rss
    # More than the kernel's buffers hold, so one at least is left unsent on each connection.
    deaf = [connect(request * 8) for _ in range(40)]  # 60 MB, of which 4 MiB may be held
    poll(lambda: cut(server, "memory") > 0)
    healthy(server)
    assert worker.memory_info().rss - before < 24_000_000
    assert server.post(tick(), Authorization="Bearer x")[0] == 401
    for sock in deaf:
        sock.close()


def test_what_is_too_large_is_refused_before_it_comes(
    connect: Callable[[bytes], socket.socket],
) -> None:
    for framing in (
        b"Content-Length: 2000001\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n",
    ):
        said = answer(connect(HEAD + framing))
        assert said.startswith(b"HTTP/1.1 413 ")
        problem = json.loads(said.partition(b"\r\n\r\n")[2])
        assert problem["type"] == "urn:ugc:problem:body-too-large"
    assert answer(connect(b"GET /" + b"x" * 70_000)).startswith(b"HTTP/1.1 431 ")


NONSENSE = [
    (b"GET / HTTP/9.9\r\n\r\n", 400),
    (b"nonsense\r\n\r\n", 400),
    (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nAuthorization : Bearer planted\r\n\r\n", 400),
    (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n", 501),
    (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n0\r\n\r\n", 501),
    (HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + GET, 400),
    (HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + GET, 400),
    (HEAD + b"Content-Length: 1_0\r\n\r\n0123456789", 400),
    (HEAD + b"Host: b\r\n\r\n", 400),
    (b"GET /healthz\r\n\r\n", 400),
    (b"get /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /health\0z HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + GET, 400),
    (bytes.fromhex("0d0a0d0a000d0a515549540a2111000c7f0000017f00000100010002") + GET, 400),
]


def test_what_is_not_http_gets_a_problem_and_is_not_logged(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    for request, status in NONSENSE:
        head, _, body = answer(connect(request)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert json.loads(body)["status"] == status
    server.process.terminate()
    assert "planted" not in server.process.communicate(timeout=20)[0]


@pytest.mark.parametrize(("authorized", "status"), [(True, b"400"), (False, b"401")])
def test_a_body_whose_framing_breaks_is_answered_once_and_is_not_logged(
    server: Server, connect: Callable[[bytes], socket.socket], authorized: bool, status: bytes
) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n"
    if authorized:
        head += f"Authorization: Bearer {token()}\r\n".encode()
    for body in (
        b"2\r\n[]\r\n0\r\nplanted\r\n\r\n",
        b"2\r\n[]\r\n0\r\nplanted : x\r\n\r\n",
        b"2\r\n[]\r\n0\r\na: planted\0\r\n\r\n",
        b"2\r\n[]\r\n0\r\n" + b"a: planted\r\n" * 200 + b"\r\n",
        b"2\r\n[]XX0\r\n\r\n",
        b'2;"planted\r\n[]\r\n0\r\n\r\n',
    ):
        # What follows is no request: where the body ends is in dispute.
        said = answer(connect(head + b"\r\n" + body + GET))
        assert [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]] == [status], body
    server.process.terminate()
    said = server.process.communicate(timeout=20)[0].encode()
    assert b"planted" not in said
    assert b"Traceback" not in said


def test_trailers_say_nothing(server: Server, connect: Callable[[bytes], socket.socket]) -> None:
    body = b"2\r\n[]\r\n0\r\nAuthorization: Bearer " + token().encode() + b"\r\n\r\n"
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert answer(connect(head + body)).startswith(b"HTTP/1.1 401 ")


def test_a_body_in_very_many_chunks_is_refused_before_it_is_read(
    connect: Callable[[bytes], socket.socket],
) -> None:
    chunks = b"1\r\n \r\n" * (MAX_CHUNKS + 1)
    said = answer(connect(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))
    assert said.startswith(b"HTTP/1.1 413 ")


def test_the_memory_of_unfinished_requests_is_bounded(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    worker = psutil.Process(server.process.pid).children()[0]
    before = worker.memory_info().rss
    begun = HEAD + b"Content-Length: 1900000\r\n\r\n" + b" " * 1_800_000
    for _ in range(40):  # 72 MB, of which 4 MiB may be held
        with suppress(ConnectionError):  # cut while it was sending
            connect(begun)
    healthy(server)
    poll(lambda: cut(server, "memory") >= 36)
    assert worker.memory_info().rss - before < 24_000_000
    # A request of the usual size still comes through: it gets as far as its token.
    assert server.post(tick(), Authorization="Bearer x")[0] == 401


def test_a_client_that_resets_does_not_end_the_worker(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    worker = psutil.Process(server.process.pid).children()[0]
    for more in (
        b"Content-Length: 2000001\r\n\r\n",
        b"Expect: 100-continue\r\nContent-Length: 500\r\n\r\n",
    ):
        worker.suspend()  # so that it reads what came when it can answer no more
        try:
            sock = connect(HEAD + more)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        finally:
            worker.resume()
        healthy(server, 2)
    assert psutil.Process(server.process.pid).children() == [worker]


def test_a_connection_cut_while_its_bytes_wait_does_not_end_the_worker(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    worker = psutil.Process(server.process.pid).children()[0]
    begun = HEAD + b"Content-Length: 2000000\r\n\r\n"
    large = [connect(begun + b" " * 1_990_000) for _ in range(2)]
    small = [connect(begun) for _ in range(6)]
    healthy(server, 2)
    worker.suspend()  # so that one turn of its loop finds bytes on all of them
    try:
        for sock in small:
            sock.sendall(b" " * 50_000)
        for sock in large:
            sock.sendall(b" " * 1000)
    finally:
        worker.resume()
    poll(lambda: cut(server, "memory") >= 1)
    healthy(server, 2)
    assert psutil.Process(server.process.pid).children() == [worker]


def test_requests_one_behind_the_other_are_answered_in_turn(
    connect: Callable[[bytes], socket.socket],
) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    last = b"GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    said = answer(connect(GET + chunked + GET + last))
    assert [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"200", b"401", b"200", b"404"]


def test_a_body_that_waits_to_be_asked_for_is_asked_for(
    connect: Callable[[bytes], socket.socket],
) -> None:
    auth = f"Authorization: Bearer {token()}\r\n".encode()
    sock = connect(
        HEAD + auth + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
    sock.sendall(b"[]")
    assert b"no-events" in answer(sock)


def test_a_client_that_leaves_is_forgotten(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    worker = psutil.Process(server.process.pid).children()[0]
    healthy(server, 1)
    before = worker.num_fds()
    for begun in (b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n1", GET):
        for sock in [connect(begun) for _ in range(10)]:
            sock.close()
    poll(lambda: worker.num_fds() <= before)


@pytest.mark.parametrize("client_timeout_s", [30])
def test_stopping_waits_for_what_has_begun_to_come(
    server: Server, connect: Callable[[bytes], socket.socket]
) -> None:
    begun, silent = connect(HEAD + b"Content-Length: 2\r\n\r\n["), connect(b"")
    healthy(server, 1)
    server.process.terminate()
    assert answer(silent) == b""
    begun.sendall(b"]")
    said = answer(begun)
    assert said.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in said
    assert server.process.wait(20) == 0
