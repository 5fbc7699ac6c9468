"""One keep-alive connection to the API, and what became of each call."""

from __future__ import annotations

import contextlib
import select
import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlsplit

_PATH = "/v1/events"


class UnreachableError(Exception):
    """No connection: nothing was sent."""


class LostError(Exception):
    """The connection broke before the whole answer came: what was sent may have been taken."""


class Answer(NamedTuple):
    status: int
    body: bytes
    retry_after: str | None

    @property
    def again(self) -> bool:
        """Whether events wait to be sent again. All of the request may be: ids make it harmless."""
        return self.status in {429, 503} or (self.status == 207 and self.retry_after is not None)


class Connection:
    """A connection that is made when it is needed. For one thread, but for `interrupt`."""

    def __init__(self, api_url: str, *, timeout_s: float) -> None:
        url = urlsplit(api_url)
        if url.scheme not in {"http", "https"} or url.hostname is None:
            raise ValueError(f"not an http address: {api_url}")
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        self._http = kind(url.hostname, url.port, timeout=timeout_s)
        self._path = url.path.rstrip("/") + _PATH

    def post(self, body: bytes, token: str) -> Answer:
        """Send events. Raises UnreachableError or LostError."""
        self._connect()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            self._http.request("POST", self._path, body, headers)
            response = self._http.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            self._http.close()
            raise LostError(str(error) or type(error).__name__) from error
        return Answer(response.status, answer, response.getheader("Retry-After"))

    def interrupt(self) -> None:
        """From another thread: make a call in progress fail at once."""
        if (sock := self._http.sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._http.close()

    def _connect(self) -> None:
        if self._http.sock is not None and _has_news(self._http.sock):
            # The server has closed it while it was idle: better now than in mid-request, where
            # nobody could tell whether the events were taken.
            self._http.close()
        if self._http.sock is None:
            try:
                self._http.connect()
            except OSError as error:
                self._http.close()
                raise UnreachableError(str(error)) from error


def _has_news(sock: socket.socket) -> bool:
    """Whether there is something to read, which between two calls can only be the end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
