"""What a request is read from and its answer written to, so that neither waits for a client."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any, Protocol


class AnswerSocket(socket.socket):
    """Keeps what is answered until it is flushed, and never blocks."""

    __slots__ = ("unsent",)

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        super().setblocking(False)
        self.unsent: deque[memoryview] = deque()

    def setblocking(self, flag: bool) -> None:
        """Does nothing: gunicorn calls it again and again around each request."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Return at once: head and body go together, when the main loop flushes."""
        del flags
        self.unsent.append(memoryview(data))

    def flush(self) -> None:
        """Send what the kernel takes now. Raises OSError."""
        if len(self.unsent) > 1:
            answer = memoryview(b"".join(self.unsent))
            self.unsent.clear()
            self.unsent.append(answer)
        while self.unsent:
            view = self.unsent[0]
            try:
                sent = self.send(view, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if sent == len(view):
                self.unsent.popleft()
            else:
                self.unsent[0] = view[sent:]


class RequestSource:
    """What gunicorn's parser reads instead of the socket: one request, then the end."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def put(self, data: bytes) -> None:
        """Give it the next request."""
        self._data, self._at = data, 0

    def recv(self, size: int) -> bytes:
        """See socket."""
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        if self._at == len(self._data):
            self._data, self._at = b"", 0
        return piece


class _Reader(Protocol):
    def read(self, size: int) -> bytes: ...


class FramedReader:
    """Reads a body; framing that breaks in the middle is an OSError, as if the client had gone.

    To the app anything else would be a fault of the server's, and gunicorn's exceptions name what
    the client sent.

    Args:
        reader: gunicorn's.
        broken: what that raises.
    """

    def __init__(self, reader: _Reader, broken: type[Exception]) -> None:
        self._reader = reader
        self._broken = broken

    def read(self, size: int) -> bytes:
        """See gunicorn. Raises OSError."""
        try:
            return self._reader.read(size)
        except self._broken:
            raise OSError("the body's framing is broken") from None
