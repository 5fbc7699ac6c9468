"""Compression on the wire: the content codings of HTTP, and ClickHouse's own frames.

The codings are those of ClickHouse's HTTP interface, less `br` and `snappy`, for which there is no
library here. A frame, in the native protocol and with `compress=1` over HTTP, is a CityHash128 of
what follows, a method byte, the size with these nine bytes, the size unpacked, and the data
(ClickHouse's src/Compression/CompressedReadBufferBase.cpp).
"""

import bz2
import lzma
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import lz4.block  # type: ignore[import-untyped]
import lz4.frame  # type: ignore[import-untyped]
from clickhouse_cityhash.cityhash import CityHash128  # type: ignore[import-untyped]

from ugc_local.clickhouse.errors import QueryError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FRAME_BYTES = 1 << 20
_MAX_FRAME_BYTES = 1 << 30  # ClickHouse's DBMS_MAX_COMPRESSED_SIZE
_HEADER = struct.Struct("<BII")
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
METHODS: Mapping[str, int] = MappingProxyType(
    {"NONE": _NONE, "LZ4": _LZ4, "LZ4HC": _LZ4, "ZSTD": _ZSTD}
)
"""Values of the setting `network_compression_method`, and their method bytes."""


class _Lz4Packer:
    def __init__(self) -> None:
        self._packer = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes) -> bytes:
        head = b"" if self._begun else self._packer.begin()
        self._begun = True
        return bytes(head + self._packer.compress(data))

    def flush(self) -> bytes:
        return self.compress(b"") + bytes(self._packer.flush())


@dataclass(frozen=True)
class _Coding:
    """One content coding; `code` is ClickHouse's for a body that is not of it."""

    packer: Callable[[], Any]
    unpacker: Callable[[], Any]
    errors: tuple[type[Exception], ...]
    code: int


# From the most to the least preferred.
_CODINGS: Mapping[str, _Coding] = MappingProxyType(
    {
        "zstd": _Coding(zstd.ZstdCompressor, zstd.ZstdDecompressor, (zstd.ZstdError,), 561),
        # Its decompressor tells damage by the type that all of Python uses.
        "lz4": _Coding(_Lz4Packer, lz4.frame.LZ4FrameDecompressor, (RuntimeError,), 618),
        "gzip": _Coding(
            partial(zlib.compressobj, 3, wbits=31),
            partial(zlib.decompressobj, wbits=31),
            (zlib.error,),
            354,
        ),
        "deflate": _Coding(partial(zlib.compressobj, 3), zlib.decompressobj, (zlib.error,), 354),
        "xz": _Coding(
            partial(lzma.LZMACompressor, preset=1), lzma.LZMADecompressor, (lzma.LZMAError,), 554
        ),
        "bz2": _Coding(bz2.BZ2Compressor, bz2.BZ2Decompressor, (OSError,), 594),
    }
)


def choose_coding(accept_encoding: str) -> str:
    """Return the best coding that a client accepts, "" if none: plain bytes."""
    accepted = set()
    for item in accept_encoding.lower().split(","):
        name, _, parameters = item.partition(";")
        if parameters.replace(" ", "") not in ("q=0", "q=0.0"):
            accepted.add(name.strip())
    return next((name for name in _CODINGS if name in accepted), "")


def unpack(coding: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Undo a `Content-Encoding`; frames may follow one another.

    Raises `QueryError`: 48 for an unknown coding, ClickHouse's code of the coding for damage.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        yield from pieces
        return
    if name not in _CODINGS:
        raise QueryError(48, f"Unknown compression method '{coding}' of the body")
    found = _CODINGS[name]
    unpacker = None
    for piece in pieces:
        rest = piece
        while rest:
            unpacker = unpacker or found.unpacker()
            try:
                yield unpacker.decompress(rest)
            except found.errors as error:
                raise QueryError(found.code, f"The body is not {name}: {error}") from error
            rest = b""
            if unpacker.eof:
                rest = unpacker.unused_data or b""
                unpacker = None
    if unpacker is not None:
        raise QueryError(found.code, f"The {name} body is cut off")


class Packer:
    """Compresses a reply piece by piece: one frame of a content coding."""

    def __init__(self, coding: str) -> None:
        """Begin; "" packs nothing."""
        self._packer = _CODINGS[coding].packer() if coding else None

    def pack(self, data: bytes) -> bytes:
        """Take the next bytes and return what is ready."""
        return data if self._packer is None else bytes(self._packer.compress(data))

    def end(self) -> bytes:
        """Return the rest."""
        return b"" if self._packer is None else bytes(self._packer.flush())


class FramePacker:
    """Packs a reply in ClickHouse's own frames, with `compress=1`."""

    def pack(self, data: bytes) -> bytes:
        """Return the frames of `data`."""
        return encode_frames(data, _LZ4)

    def end(self) -> bytes:
        """Return nothing: each frame stands alone."""
        return b""


def encode_frames(data: bytes | memoryview, method: int) -> bytes:
    """Pack bytes in as many frames as it takes."""
    view = memoryview(data)
    frames = []
    for start in range(0, len(view), _FRAME_BYTES):
        piece = view[start : start + _FRAME_BYTES]
        if method == _LZ4:
            packed = lz4.block.compress(piece, store_size=False)
        elif method == _ZSTD:
            packed = zstd.compress(piece, level=1)
        else:
            packed = bytes(piece)
        body = _HEADER.pack(method, len(packed) + _HEADER.size, len(piece)) + packed
        frames.append(_checksum(body) + body)
    return b"".join(frames)


def read_frame(read: Callable[[int], bytes]) -> bytes:
    """Read one frame by `read(exact size)` and return its content.

    Raises `QueryError`: 40 for a wrong checksum, 89 for an unknown method, 271 for other damage.
    """
    checksum = read(16)
    header = read(_HEADER.size)
    method, packed_bytes, plain_bytes = _HEADER.unpack(header)
    if not _HEADER.size <= packed_bytes <= _MAX_FRAME_BYTES or plain_bytes > _MAX_FRAME_BYTES:
        raise QueryError(271, "The sizes of a compressed block make no sense")
    body = read(packed_bytes - _HEADER.size)
    if _checksum(header + body) != checksum:
        raise QueryError(40, "Checksum doesn't match: corrupted data")
    try:
        if method == _LZ4:
            content = bytes(lz4.block.decompress(body, uncompressed_size=plain_bytes))
        elif method == _ZSTD:
            content = zstd.decompress(body)
        elif method == _NONE:
            content = bytes(body)
        else:
            raise QueryError(89, f"Unknown compression method byte {method:#x}")
    except (lz4.block.LZ4BlockError, zstd.ZstdError) as error:
        raise QueryError(271, f"Cannot decompress: {error}") from error
    if len(content) != plain_bytes:
        raise QueryError(271, f"A block of {len(content)} bytes says that it has {plain_bytes}")
    return content


def unpack_frames(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Undo frames that follow one another, with `decompress=1`; errors as in `read_frame`."""
    source = iter(pieces)
    pending = bytearray()

    def read(size: int) -> bytes:
        while len(pending) < size:
            piece = next(source, None)
            if piece is None:
                raise QueryError(33, "The compressed body is cut off")
            pending.extend(piece)
        taken = bytes(pending[:size])
        del pending[:size]
        return taken

    while True:
        while not pending:
            piece = next(source, None)
            if piece is None:
                return
            pending.extend(piece)
        yield read_frame(read)


def _checksum(data: bytes) -> bytes:
    found = CityHash128(data)
    return struct.pack("<QQ", found >> 64, found & 0xFFFFFFFFFFFFFFFF)
