"""The bytes of one HTTP/1.1 request, until all of it has come. Pure: no sockets, no clock.

It finds where a request ends and nothing else; what the bytes mean, gunicorn's parser says
afterwards. Where the two disagree the parser meets the end of its input, never the next request.
"""

from __future__ import annotations

from enum import Enum, auto

MAX_HEAD_BYTES = 64 * 1024
_MAX_CHUNK_LINE_BYTES = 8192
MAX_CHUNKS = 16_384
"""Of one body. Each costs gunicorn's parser 3 µs and this module 1 µs, however little is in it: a
body of 4 MiB in chunks of one byte took 4 s, in which nobody else was served."""


class Progress(Enum):
    """How far a request has come.

    Attributes:
        MORE: bytes are missing.
        WHOLE: it is all there.
        BROKEN: where it ends cannot be known; the rest of the connection means nothing.
        HEAD_TOO_LARGE, BODY_TOO_LARGE: more of it need not come.
    """

    MORE = auto()
    WHOLE = auto()
    BROKEN = auto()
    HEAD_TOO_LARGE = auto()
    BODY_TOO_LARGE = auto()


class Arrival:
    """Collects a request.

    Args:
        max_body_bytes: of the body as it is sent.

    Attributes:
        wants_continue: the client waits for `100 Continue` before it sends the body.
    """

    __slots__ = (
        "_body_at",
        "_buffer",
        "_chunk_at",
        "_chunked",
        "_chunks",
        "_end",
        "_max_body_bytes",
        "wants_continue",
    )

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer: bytes | bytearray = b""
        self._body_at = 0  # 0 while the head has not ended
        self._end = 0  # 0 while it is not known
        self._chunked = False
        self._chunk_at = 0
        self._chunks = 0
        self.wants_continue = False

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Progress:
        """Add what came; never again after it said anything but MORE."""
        before = len(self._buffer)
        if not before:
            self._buffer = data
        else:
            if isinstance(self._buffer, bytes):
                self._buffer = bytearray(self._buffer)
            self._buffer += data
        if not self._body_at:
            found = self._buffer.find(b"\r\n\r\n", max(0, before - 3))
            if found < 0:
                too_large = len(self._buffer) > MAX_HEAD_BYTES
                return Progress.HEAD_TOO_LARGE if too_large else Progress.MORE
            fault = self._read_head(found + 4)
            if fault is not None:
                return fault
        if self._chunked and not self._end:
            fault = self._skip_chunks()
            if fault is not None:
                return fault
        return Progress.WHOLE if self._end and len(self._buffer) >= self._end else Progress.MORE

    def take(self) -> tuple[bytes, bytes]:
        """The request, and what came after it."""
        end = self._end
        if not end or len(self._buffer) == end:
            return bytes(self._buffer), b""
        view = memoryview(self._buffer)
        return bytes(view[:end]), bytes(view[end:])

    def _read_head(self, end: int) -> Progress | None:
        head = bytes(self._buffer[:end]).lower()
        self._body_at = self._chunk_at = end
        self.wants_continue = b"\r\nexpect:" in head
        if b"\r\ntransfer-encoding:" in head:
            self._chunked = True
            return None
        length = _length(head)
        if length is None:
            return Progress.BROKEN
        if length > self._max_body_bytes:
            return Progress.BODY_TOO_LARGE
        self._end = end + length
        return None

    def _skip_chunks(self) -> Progress | None:
        """Go on to the last chunk that has begun (RFC 9112, section 7.1)."""
        buffer = self._buffer
        # The framing of small chunks may be as large as what they carry.
        limit = self._body_at + 2 * self._max_body_bytes
        while self._chunk_at < len(buffer):
            eol = buffer.find(b"\r\n", self._chunk_at)
            if eol < 0:
                short = len(buffer) - self._chunk_at <= _MAX_CHUNK_LINE_BYTES
                return None if short else Progress.BROKEN
            try:
                size = int(bytes(buffer[self._chunk_at : eol]).partition(b";")[0], 16)
            except ValueError:
                return Progress.BROKEN
            if size < 0:
                return Progress.BROKEN
            if not size:
                # Trailers end with an empty line; without any, that is the next one.
                last = buffer.find(b"\r\n\r\n", eol)
                self._end = last + 4 if last >= 0 else 0
                small = last >= 0 or len(buffer) - eol <= MAX_HEAD_BYTES
                return None if small else Progress.HEAD_TOO_LARGE
            self._chunk_at = eol + 2 + size + 2
            self._chunks += 1
            if self._chunk_at > limit or self._chunks > MAX_CHUNKS:
                return Progress.BODY_TOO_LARGE
        return None


def _length(head: bytes) -> int | None:
    """Content-Length; 0 where there is none, None where it is no number."""
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    text = head[at + 17 : head.index(b"\r\n", at + 17)].strip()
    return int(text) if text.isdigit() and len(text) < 20 else None
