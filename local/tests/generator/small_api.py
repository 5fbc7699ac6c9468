"""A small API that answers by the wire contract, and misbehaves when told to."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from uuid import UUID

from ugc_events import Invalid, decode_submission, split_batch

NOW_MS = 1_800_000_000_000
DROP, HANG = -1, -2


class Api(ThreadingHTTPServer):
    """Keeps what it took, in the order of taking, by viewer.

    Attributes:
        behaviour: status to answer to the n-th attempt (from 0), DROP to close the connection
            without an answer, HANG to answer when the server closes; None to do what is right.
        taken: viewer → bodies answered properly.
    """

    daemon_threads = True
    # A test that ends in the middle of a call must not wait for the handler.
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour: Callable[[int], int | None] = lambda _: None
        self.retry_after: str | None = "0"
        self.spoil: Callable[[dict[str, object]], None] = lambda _: None
        self.keep_alive = True
        self.attempts = count()
        self.connections: set[tuple[str, int]] = set()
        self.taken: dict[str, list[bytes]] = defaultdict(list)
        self.closed: list[object] = []
        self.hanging = threading.Event()
        self.closing = threading.Event()

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().shutdown_request(request)
        self.closed.append(request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Api

    def do_POST(self) -> None:
        api = self.server
        api.connections.add(self.client_address)
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the client died in the middle
            self.close_connection = True
            return
        what = api.behaviour(next(api.attempts))
        if what == HANG:
            api.hanging.set()
            api.closing.wait()
        if what in {DROP, HANG}:
            self.close_connection = True
            return
        viewer = self.headers["Authorization"].removeprefix("Bearer token of ")
        assert self.path == "/v1/events"
        assert self.headers["Content-Type"] == "application/json"
        if what is not None:
            self.answer(what, {"type": "about:blank", "status": what})
            return
        results = []
        parts = split_batch(body)
        assert not isinstance(parts, Invalid)
        for part in parts:
            verdict = decode_submission(
                part, user_id=UUID(viewer), received_at=NOW_MS, new_event_id=lambda: UUID(int=1)
            )
            results.append(
                {"status": "invalid", "field": verdict.field, "reason": verdict.reason.value}
                if isinstance(verdict, Invalid)
                else {"status": "accepted", "event_id": str(verdict.event_id)}
            )
        accepted = sum(result["status"] == "accepted" for result in results)
        answer = {"results": results, "accepted": accepted, "invalid": len(results) - accepted}
        api.spoil(answer)
        status = 202 if accepted == len(results) else 207 if accepted else 400
        api.taken[viewer].append(body)
        self.answer(status, answer)

    def answer(self, status: int, answer: dict[str, object]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if answer.get("status") in {503, 207} and self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()
        self.wfile.write(content)
        # Closed without a word, as by a server that is tired of an idle connection.
        self.close_connection = not self.server.keep_alive

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@contextmanager
def serving() -> Iterator[Api]:
    with Api() as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            api.closing.set()
            api.shutdown()
            thread.join()


def token_of(user_id: UUID) -> str:
    return f"token of {user_id}"
