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
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


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
    while body:
        stream = _stream(name)
        try:
            part = stream.decompress(body, left + 1)
        except (zlib.error, zstd.ZstdError) as error:
            raise BrokenEncodingError(f"the body is not {name}") from error
        left -= len(part)
        if left < 0:
            raise ExpandsTooFarError
        if not stream.eof:
            raise BrokenEncodingError(f"the body is not {name} to its end")
        parts.append(part)
        body = stream.unused_data
    return b"".join(parts)


def _stream(name: str) -> _Decompressor:
    if name == GZIP:
        return zlib.decompressobj(_WITH_GZIP_HEADER)
    return zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
