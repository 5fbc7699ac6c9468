"""A request's body as it was before its client compressed it.

Bounded in memory: what a few kilobytes may expand to is thousands of times larger, so nothing is
decompressed beyond the limit of a body. The one module here that imports compression libraries.
"""

from __future__ import annotations

import sys
import zlib
from typing import Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP, ZSTD = "gzip", "zstd"
ENCODINGS = (GZIP, ZSTD)
"""The content codings that are taken, as in `Accept-Encoding`."""

MAX_STREAMS = 1024
"""Of one body; who compresses each event by itself needs as many as there are events. An empty one
has 8 bytes and costs 30 µs (zstd), so that without a limit one body would take minutes."""

_PIECE_BYTES = 64 * 1024
_ALIASES = {"x-gzip": GZIP}
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS
# RFC 9659: what a client may ask a server to hold for zstd over HTTP, 8 MiB.
_ZSTD_OPTIONS = {int(zstd.DecompressionParameter.window_log_max): 23}


class UnknownEncodingError(Exception):
    """The body is in a coding that is not taken here. The message may be shown."""


class BrokenEncodingError(Exception):
    """The body is not what its `Content-Encoding` says. The message may be shown."""


class ExpandsTooFarError(Exception):
    """Decompressed, the body is larger than a body may be."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: memoryview, /, max_length: int) -> bytes: ...


def expand(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo a body's content coding.

    Args:
        body: as it came.
        encoding: the request's `Content-Encoding`; empty where it has none.
        max_bytes: how large the result may be.

    Raises UnknownEncodingError, BrokenEncodingError, ExpandsTooFarError.
    """
    name = encoding.strip().lower()
    name = _ALIASES.get(name, name)
    if name in ("", "identity"):
        return body
    if name not in ENCODINGS:
        raise UnknownEncodingError(f"send the body uncompressed, or one of {', '.join(ENCODINGS)}")
    parts: list[bytes] = []
    left = max_bytes
    # Both formats allow several streams, one behind the other.
    view = memoryview(body)
    at = streams = 0
    stream: _Decompressor | None = None
    while at < len(body):
        if stream is None:
            streams += 1
            if streams > MAX_STREAMS:
                raise BrokenEncodingError(f"the body is more than {MAX_STREAMS} {name} streams")
            stream = _stream(name)
        # A stream gives back a copy of what is behind it: piece by piece, or many short ones
        # would copy the whole body each.
        piece = view[at : at + _PIECE_BYTES]
        try:
            part = stream.decompress(piece, left + 1)
        except (zlib.error, zstd.ZstdError) as error:
            raise BrokenEncodingError(f"the body is not {name}") from error
        left -= len(part)
        if left < 0:
            raise ExpandsTooFarError
        parts.append(part)
        at += len(piece)
        if stream.eof:
            at -= len(stream.unused_data)
            stream = None
    if stream is not None:
        raise BrokenEncodingError(f"the body is not {name} to its end")
    return b"".join(parts)


def _stream(name: str) -> _Decompressor:
    if name == GZIP:
        return zlib.decompressobj(_WITH_GZIP_HEADER)
    return zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
