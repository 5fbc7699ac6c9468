"""What a thread of the worker reads from and writes to, so that it never waits for a client."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any


class AnswerSocket(socket.socket):
    """Takes all of an answer at once, and keeps what the kernel has no room for."""

    __slots__ = ("unsent",)

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self.unsent: deque[memoryview] = deque()

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Return at once; the main loop sends the rest."""
        del flags
        view = memoryview(data)
        self.unsent.append(view)
        self.flush()

    def flush(self) -> None:
        """Send what the kernel takes now. Raises OSError."""
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
