"""The packets of ClickHouse's native protocol, seen from the server.

Built on clickhouse-driver's readers and writers, turned round. The revision that
is announced, 54440, is the last one before distributed queries add fields: settings are strings,
and a block is its BlockInfo and exactly the bytes of `FORMAT Native`.
"""

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from typing import Any

from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.protocol import ClientPacketTypes, Compression, ServerPacketTypes
from clickhouse_driver.reader import read_binary_str, read_binary_uint8
from clickhouse_driver.varint import read_varint, write_varint
from clickhouse_driver.writer import write_binary_str

from ugc_local.clickhouse.compression import METHODS, encode_frames, read_frame
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.native_block import BLOCK_INFO, BlockShape, scan_block, skip_block_info
from ugc_local.clickhouse.native_layout import Cursor

SERVER_REVISION = 54440
_MINIMUM_REVISION = 54429  # settings as strings
_PLAIN_BYTES = 1 << 20


class ClientPacket(IntEnum):
    """What a client may send."""

    HELLO = ClientPacketTypes.HELLO
    QUERY = ClientPacketTypes.QUERY
    DATA = ClientPacketTypes.DATA
    CANCEL = ClientPacketTypes.CANCEL
    PING = ClientPacketTypes.PING


@dataclass(frozen=True)
class Hello:
    """A client's introduction."""

    client_name: str
    revision: int
    database: str
    user: str
    password: str

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"Hello({self.client_name!r}, {self.revision}, user={self.user!r})"


@dataclass(frozen=True)
class Query:
    """A query packet; the settings are text."""

    query_id: str
    settings: dict[str, str]
    sql: str


@dataclass(frozen=True)
class Block:
    """A block from the client: its shape, and its bytes as `FORMAT Native` has them."""

    table: str
    shape: BlockShape
    data: bytes

    @property
    def ends(self) -> bool:
        """A block without columns says that no more follow."""
        return not self.shape.columns


class ProtocolError(ConnectionError):
    """The client speaks something else; the connection cannot go on."""


class UnreadableBlockError(ProtocolError):
    """The end of a block cannot be found; `error` says why, to the client."""

    def __init__(self, error: QueryError) -> None:
        """Take what was found wrong."""
        super().__init__(str(error))
        self.error = error


class ClientStream:
    """A connection to a client: packets in, packets out. One thread uses it."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected socket; its timeout is the caller's business."""
        self._socket = connection
        self._reader: Any = BufferedSocketReader(connection, 1 << 20)
        self._compressed = False
        self._method = METHODS["LZ4"]
        self._blocks = Cursor(self._pull)

    # In.

    def next_packet(self) -> ClientPacket:
        """Wait for the next packet and return its kind; EOFError when the client has gone."""
        kind = read_varint(self._reader)
        try:
            return ClientPacket(kind)
        except ValueError:
            raise ProtocolError(f"unknown packet {kind}") from None

    def pending(self) -> int | None:
        """Return the first byte that has been read from the socket and not consumed."""
        reader = self._reader
        if reader.position < reader.current_buffer_size:
            return int(reader.buffer[reader.position])
        return None

    def read_hello(self) -> Hello:
        """Read the body of a hello."""
        reader = self._reader
        name = read_binary_str(reader)
        read_varint(reader), read_varint(reader)  # version
        revision = read_varint(reader)
        if revision < _MINIMUM_REVISION:
            raise ProtocolError(f"revision {revision} of the client is too old")
        return Hello(name, revision, *(read_binary_str(reader) for _ in range(3)))

    def read_query(self) -> Query:
        """Read the body of a query, and how its blocks will travel."""
        try:
            return self._read_query()
        except UnicodeDecodeError as error:
            raise ProtocolError(f"a query is not UTF-8: {error}") from error

    def _read_query(self) -> Query:
        reader = self._reader
        query_id = read_binary_str(reader)
        self._skip_client_info()
        settings = {}
        while name := read_binary_str(reader):
            read_binary_uint8(reader)  # flags: every setting counts as important here
            settings[name] = read_binary_str(reader)
        read_varint(reader)  # stage: always complete
        self._compressed = read_varint(reader) == Compression.ENABLED
        wanted = settings.get("network_compression_method", "LZ4").upper()
        self._method = METHODS.get(wanted, METHODS["LZ4"])
        self._blocks = Cursor(self._pull)
        return Query(query_id, settings, read_binary_str(reader))

    def _skip_client_info(self) -> None:
        reader = self._reader
        if read_binary_uint8(reader) == 0:  # no query kind, no more fields
            return
        for _ in range(3):  # initial user, query id, address
            read_binary_str(reader)
        if read_binary_uint8(reader) != 1:
            raise ProtocolError("a client over TCP says that it is not one")
        for _ in range(3):  # user, host, program
            read_binary_str(reader)
        for _ in range(3):  # version and revision
            read_varint(reader)
        read_binary_str(reader)  # quota key
        read_varint(reader)  # patch version

    def read_block(self) -> Block:
        """Read the body of a data packet; values are stepped over, not decoded."""
        table = read_binary_str(self._reader)
        cursor = self._blocks
        try:
            skip_block_info(cursor)
            cursor.take(cursor.position)
            shape = scan_block(cursor)
        except QueryError as error:
            raise UnreadableBlockError(error) from error
        data = cursor.take(cursor.position)
        if not self._compressed:
            # The rest belongs to the next packet. It all came with the last pull, so it still
            # stands in the reader's buffer.
            self._reader.position -= len(cursor.rest())
        return Block(table, shape, data)

    def _pull(self) -> bytes:
        if self._compressed:
            return read_frame(self._reader.read)
        reader = self._reader
        if reader.position == reader.current_buffer_size:
            reader.read_into_buffer()
            reader.position = 0
        piece = bytes(memoryview(reader.buffer)[reader.position : reader.current_buffer_size])
        reader.position = reader.current_buffer_size
        return piece

    # Out.

    def send_hello(self, hello: Hello, *, version: str, timezone: str, name: str) -> None:
        """Introduce the server."""
        major, minor, *rest = version.split(".")
        out = _packet(ServerPacketTypes.HELLO)
        write_binary_str("ClickHouse", out)
        write_varint(int(major), out)
        write_varint(int(minor), out)
        write_varint(SERVER_REVISION, out)
        write_binary_str(timezone, out)
        write_binary_str(name, out)
        write_varint(int(rest[0]) if rest else 0, out)
        self._send(out)

    def send_pong(self) -> None:
        """Answer a ping."""
        self._send(_packet(ServerPacketTypes.PONG))

    def send_end(self) -> None:
        """End a result."""
        self._send(_packet(ServerPacketTypes.END_OF_STREAM))

    def send_exception(self, error: QueryError) -> None:
        """Report an error, which ends a result too."""
        out = _packet(ServerPacketTypes.EXCEPTION)
        out.write(struct.pack("<i", error.code))
        write_binary_str("DB::Exception", out)
        write_binary_str(f"DB::Exception: {error.message} ({error.name})", out)
        write_binary_str("", out)  # stack trace
        out.write(b"\0")  # no nested exception
        self._send(out)

    def send_progress(
        self,
        *,
        rows: int = 0,
        size_bytes: int = 0,
        total_rows: int = 0,
        written_rows: int = 0,
        written_bytes: int = 0,
    ) -> None:
        """Report what was read and written, and became known to be read, since the last report."""
        out = _packet(ServerPacketTypes.PROGRESS)
        for number in (rows, size_bytes, total_rows, written_rows, written_bytes):
            write_varint(number, out)
        self._send(out)

    def send_profile(self, *, rows: int, blocks: int, size_bytes: int) -> None:
        """Sum a result up."""
        out = _packet(ServerPacketTypes.PROFILE_INFO)
        for number in (rows, blocks, size_bytes):
            write_varint(number, out)
        out.write(b"\0\0\0")  # no limit applied, 0 rows before it, not calculated
        self._send(out)

    def send_block(self, data: bytes, kind: int = ServerPacketTypes.DATA) -> None:
        """Send one block, given as `FORMAT Native` has it."""
        out = _packet(kind)
        write_binary_str("", out)  # table name
        if self._compressed:
            out.write(encode_frames(BLOCK_INFO + data, self._method))
        else:
            out.write(BLOCK_INFO)
            if len(data) > _PLAIN_BYTES:  # spare a copy
                self._send(out)
                self._socket.sendall(data)
                return
            out.write(data)
        self._send(out)

    def send_totals(self, data: bytes) -> None:
        """Send the block of the totals, behind the rows."""
        self.send_block(data, ServerPacketTypes.TOTALS)

    def send_extremes(self, data: bytes) -> None:
        """Send the block of the least and the greatest values, behind the rows."""
        self.send_block(data, ServerPacketTypes.EXTREMES)

    def _send(self, out: BytesIO) -> None:
        self._socket.sendall(out.getbuffer())


def _packet(kind: int) -> BytesIO:
    out = BytesIO()
    write_varint(kind, out)
    return out
