"""The gunicorn worker: a request is handled when it is all there, and none waits for a client.

Gunicorn's own threaded worker gives a connection to a thread when its first byte comes; the
thread then waits for the rest, for as long as the client likes, writes the answer as slowly as
the client reads it, and the main loop waits up to two seconds for each client that does not
close. A few dozen such clients stop it. Here the loop collects requests, sends what the
kernel did not take of an answer, and lingers, for all connections at once; each of these has a
deadline, and the bytes held in memory have a limit.

It stands on `ugc_api.worker_loop` and these parts of gunicorn 27's ThreadWorker: `enqueue_req`,
`handle_request`, `finish_request` (keeps a connection alive), `murder_pending` (called in each
round of the loop, at least once a second), `_cap_keepalive` (called when it stops),
`_keepalive_after`, `handle_error`, and the attributes `poller`, `nr_conns`, `worker_connections`,
`keepalived_conns`, `wsgi`. Tests hold all of it against real sockets.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar

from gunicorn.http.errors import (  # type: ignore[import-untyped]
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER  # type: ignore[import-untyped]

from ugc_api.arrival import Arrival, Progress
from ugc_api.worker_io import AnswerSocket, FramedReader, RequestSource
from ugc_api.worker_loop import LoopWorker

_RECEIVE_BYTES = 256 * 1024
_SMALL_BYTES = 16 * 1024
"""Requests of up to this are never cut to save memory."""
_LINGER_S = 2.0
_SPARED_S = 1.0
_LINGER_BYTES = 1024 * 1024
_SAY_EVERY_S = 10.0
_KEPT: Future[bool] = Future()
_KEPT.set_result(True)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may cost.

    Attributes:
        read_timeout_s: from a request's first byte to its last; for a new connection, from its
            beginning.
        write_timeout_s: for the client to take an answer.
        max_body_bytes: of one request.
        max_held_bytes: of all requests together that are arriving, waiting or being handled, and
            of the answers that their clients have not taken.
        stop_read_s: what read_timeout_s becomes when the worker stops.
    """

    read_timeout_s: float
    write_timeout_s: float
    max_body_bytes: int
    max_held_bytes: int
    stop_read_s: float


class Worker(LoopWorker):
    """See the module. A subclass sets `limits`.

    Of gunicorn's connection objects these attributes are ours: `arrival`, `source`, `rest` (what
    came after the request), `held` (bytes counted), `whole`, `polled` (known to the poller),
    `outcome` (of the thread), `drained` (bytes thrown away).
    """

    limits: ClassVar[Limits]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Each by its deadline, the earliest first, since each kind has one duration.
        self._arriving: dict[Any, float] = {}
        self._departing: dict[Any, float] = {}
        self._lingering: dict[Any, float] = {}
        self._held_bytes = 0
        self._read_timeout_s = self.limits.read_timeout_s
        self._cut_counts: Counter[str] = Counter()
        self._say_at = 0.0

    # A request comes.

    def enqueue_req(self, conn: Any) -> None:
        """Called when a connection is new, or has bytes after a pause: collect first."""
        if conn.parser is None:
            conn.sock = AnswerSocket(conn.sock)
            conn.source = RequestSource()
            conn.parser = RequestParser(self.cfg, conn.source, conn.client)
            conn.initialized = True
            conn.rest = b""
            conn.polled = False
        conn.arrival = Arrival(self.limits.max_body_bytes)
        conn.held = 0
        self._arriving[conn] = time.monotonic() + self._read_timeout_s
        rest, conn.rest = conn.rest, b""
        if rest:
            self._take(conn, rest)
        else:
            self._receive(conn, conn.sock)

    def _receive(self, conn: Any, _sock: Any) -> None:
        if conn not in self._arriving:
            return  # cut since the poller spoke, to make room for another's bytes
        try:
            data = conn.sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            self._poll(conn, selectors.EVENT_READ, self._receive)
            return
        except OSError:
            data = b""
        if data:
            self._take(conn, data)
        else:
            self._leave_arriving(conn)
            self._end(conn)

    def _take(self, conn: Any, data: bytes) -> None:
        arrival = conn.arrival
        progress = arrival.feed(data)
        self._held_bytes += len(data)
        conn.held += len(data)
        if progress in _TOO_LARGE:
            self._cut(conn, *_TOO_LARGE[progress])
            return
        self._keep_within_limit()
        if conn not in self._arriving:
            return
        if progress is Progress.MORE:
            if arrival.wants_continue:
                arrival.wants_continue = False
                _say(conn, b"HTTP/1.1 100 Continue\r\n\r\n")
            self._poll(conn, selectors.EVENT_READ, self._receive)
            return
        request, conn.rest = arrival.take()
        self._held_bytes -= len(conn.rest)
        conn.held -= len(conn.rest)
        conn.whole = progress is Progress.WHOLE
        conn.source.put(request)
        held = conn.held
        self._leave_arriving(conn)
        conn.held = held
        self._held_bytes += held
        self.begin_soon(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Called when the head of a request is understood."""
        req.body.reader = FramedReader(req.body.reader, ParseException)
        return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        # Behind half a request, or one whose end is in dispute, the next one cannot be found.
        try:
            return conn.whole and bool(super()._keepalive_after(conn, keepalive))
        except OSError:
            return False  # it has its answer, and must not get another

    # An answer goes.

    def answer(self, conn: Any, keep: bool) -> None:
        """See LoopWorker."""
        self._release(conn)
        _send(conn)
        if not conn.sock.unsent:
            self._conclude(conn, keep)
            return
        conn.keep = keep
        conn.held = sum(map(len, conn.sock.unsent))
        self._held_bytes += conn.held
        self._departing[conn] = time.monotonic() + self.limits.write_timeout_s
        self._poll(conn, selectors.EVENT_WRITE, self._flush)
        self._keep_within_limit()

    def _flush(self, conn: Any, _sock: Any) -> None:
        _send(conn)
        if conn.sock.unsent:
            return
        self._leave_departing(conn)
        self._conclude(conn, conn.keep)

    def _conclude(self, conn: Any, keep: bool) -> None:
        if not keep:
            self._linger(conn)
        elif conn.rest:
            self.enqueue_req(conn)
        else:
            self.finish_request(conn, _KEPT)

    # A connection ends.

    def murder_pending(self) -> None:
        """Called again and again: end what is past its deadline."""
        now = time.monotonic()
        for conn in _expired(self._arriving, now):
            self._cut(conn, HTTPStatus.REQUEST_TIMEOUT, "slow")
        for conn in _expired(self._departing, now):
            self._end_unread(conn, "unread")
        for conn in _expired(self._lingering, now):
            self._end_lingering(conn)
        self._make_room()
        if self._cut_counts and now >= self._say_at:
            told = ", ".join(f"{n} {why}" for why, n in sorted(self._cut_counts.items()))
            self.log.warning("connections cut: %s", told)
            self._cut_counts.clear()
            self._say_at = now + _SAY_EVERY_S

    def _keep_within_limit(self) -> None:
        """End the oldest: answers that are not read, so that they hold back nobody's request."""
        while self._held_bytes > self.limits.max_held_bytes:
            large = next((c for c in self._arriving if c.held > _SMALL_BYTES), None)
            if self._departing:
                self._end_unread(next(iter(self._departing)), "memory")
            elif large:
                self._cut(large, HTTPStatus.SERVICE_UNAVAILABLE, "memory")
            else:
                break

    def _make_room(self) -> None:
        """Keep a place free for the next connection, at the cost of who sends nothing now.

        A request that has only begun to come is spared: its bytes may be on their way.
        """
        spared = time.monotonic() + self._read_timeout_s - _SPARED_S
        while self.nr_conns >= self.worker_connections:
            if self._lingering:
                self._end_lingering(next(iter(self._lingering)))
            elif self.keepalived_conns:
                idle = self.keepalived_conns.popleft()
                self.poller.unregister(idle.sock)
                self._count("connections")
                self._end(idle)
            elif self._arriving and next(iter(self._arriving.values())) < spared:
                self._cut(next(iter(self._arriving)), HTTPStatus.SERVICE_UNAVAILABLE, "connections")
            else:
                break  # the next waits: all of them are new or being answered

    def _cap_keepalive(self, deadline: float) -> None:
        # Stopping: what has begun to come may go on, for less time; the rest may not begin.
        super()._cap_keepalive(deadline)
        now = time.monotonic()
        self._read_timeout_s = min(self._read_timeout_s, self.limits.stop_read_s)
        latest = {True: now + self._read_timeout_s, False: now + STOP_KEEPALIVE_LINGER}
        capped = {c: min(at, latest[bool(c.held)]) for c, at in self._arriving.items()}
        self._arriving = dict(sorted(capped.items(), key=lambda item: item[1]))

    def _cut(self, conn: Any, status: HTTPStatus, why: str) -> None:
        begun = bool(conn.held)
        self._leave_arriving(conn)
        if begun:
            _say(conn, _answer(status))
        if begun or why != "slow":
            self._count(why)
        self._linger(conn)

    def _count(self, why: str) -> None:
        self._cut_counts[why] += 1
        self.wsgi.extensions["ugc_api.metrics"].cut(why)

    def _leave_arriving(self, conn: Any) -> None:
        self._forget(conn)
        self._arriving.pop(conn, None)
        self._release(conn)
        conn.arrival = None  # its bytes with it

    def _leave_departing(self, conn: Any) -> None:
        self._forget(conn)
        del self._departing[conn]
        self._release(conn)

    def _end_unread(self, conn: Any, why: str) -> None:
        self._count(why)
        self._leave_departing(conn)
        self._end(conn)

    def _release(self, conn: Any) -> None:
        self._held_bytes -= conn.held
        conn.held = 0

    def _linger(self, conn: Any) -> None:
        """Close when the client has: closing with bytes unread could destroy the answer."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(conn)
            return
        conn.drained = 0
        self._lingering[conn] = time.monotonic() + _LINGER_S
        self._poll(conn, selectors.EVENT_READ, self._drain)

    def _drain(self, conn: Any, _sock: Any) -> None:
        try:
            data = conn.sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.drained += len(data)
        if not data or conn.drained > _LINGER_BYTES:
            self._end_lingering(conn)

    def _end_lingering(self, conn: Any) -> None:
        self._lingering.pop(conn, None)
        self._forget(conn)
        self._end(conn)

    def _end(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def _poll(self, conn: Any, event: int, callback: Any) -> None:
        if not conn.polled:
            self.poller.register(conn.sock, event, partial(callback, conn))
            conn.polled = True

    def _forget(self, conn: Any) -> None:
        if conn.polled:
            self.poller.unregister(conn.sock)
            conn.polled = False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what has not reached the app; nothing that the client sent gets into the log."""
        del req, addr
        status = _STATUS_OF.get(type(exc), HTTPStatus.BAD_REQUEST)
        if not isinstance(exc, ParseException):
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            self.log.error("a request failed", exc_info=exc)
        client.sendall(_answer(status))


_TOO_LARGE = {
    Progress.HEAD_TOO_LARGE: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head"),
    Progress.BODY_TOO_LARGE: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body"),
}
_KINDS = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body-too-large",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "head-too-large",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded",
}
_STATUS_OF = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}


def _say(conn: Any, said: bytes) -> None:
    conn.sock.sendall(said)
    _send(conn)


def _send(conn: Any) -> None:
    """Send what the kernel takes. The main loop must not end with a client that has gone."""
    try:
        conn.sock.flush()
    except OSError:
        conn.sock.unsent.clear()


def _expired(deadlines: dict[Any, float], now: float) -> list[Any]:
    found = []
    for conn, deadline in deadlines.items():
        if deadline > now:
            break
        found.append(conn)
    return found


def _answer(status: HTTPStatus) -> bytes:
    """A problem document (RFC 9457) that closes the connection."""
    kind = _KINDS.get(status, status.phrase.lower().replace(" ", "-"))
    problem = {
        "type": f"urn:ugc:problem:{kind}",
        "title": status.phrase,
        "status": status.value,
        "detail": status.description or status.phrase,
    }
    body = json.dumps(problem).encode()
    retry = "Retry-After: 2\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
    )
    return head.encode() + body
