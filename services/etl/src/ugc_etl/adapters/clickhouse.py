"""ClickHouse over its native protocol, by clickhouse-driver."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from clickhouse_driver import Client, defines, errors
from clickhouse_driver.block import BlockInfo, RowOrientedBlock
from clickhouse_driver.protocol import ClientPacketTypes
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from ugc_etl.batch import MAX_BATCH_ROWS
from ugc_etl.native_block import Block
from ugc_etl.ports import DataRefusedError, OutcomeUnknownError, RefusedError, TooLateError
from ugc_etl.schema import ServerRefused

_CLOCK_TTL_S = 60.0

# Answers that may pass by themselves, or that leave open what happened: the same token again.
_PASSING = frozenset(
    getattr(errors.ErrorCodes, name)
    for name in (
        "TIMEOUT_EXCEEDED", "TOO_SLOW", "TOO_MANY_SIMULTANEOUS_QUERIES", "SOCKET_TIMEOUT",
        "NETWORK_ERROR", "NO_ZOOKEEPER", "ABORTED", "MEMORY_LIMIT_EXCEEDED", "TABLE_IS_READ_ONLY",
        "NOT_ENOUGH_SPACE", "TOO_MANY_PARTS", "ALL_CONNECTION_TRIES_FAILED",
        "TOO_FEW_LIVE_REPLICAS", "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
        "UNKNOWN_STATUS_OF_INSERT", "DEADLOCK_AVOIDED", "UNFINISHED", "QUERY_WAS_CANCELLED",
        "KEEPER_EXCEPTION", "CANNOT_SCHEDULE_TASK", "ATTEMPT_TO_READ_AFTER_EOF",
        "CANNOT_READ_FROM_SOCKET", "CANNOT_WRITE_TO_SOCKET", "POCO_EXCEPTION",
    )
    if hasattr(errors.ErrorCodes, name)
) | {
    745, 746, 762,  # SERVER_OVERLOADED and its kin are younger than the driver
    24, 75, 76,  # CANNOT_WRITE_TO_OSTREAM, _FILE_DESCRIPTOR, CANNOT_OPEN_FILE: the disk is full
}  # fmt: skip

_VIOLATED_CONSTRAINT = 469  # younger than the driver's list

# Answers about the rows themselves, as far as they reach columns that are typed already.
_ABOUT_ROWS = frozenset(
    (
        _VIOLATED_CONSTRAINT,
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        38, 41,  # CANNOT_PARSE_DATE, _DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128, 131,  # TOO_LARGE_ARRAY_SIZE, _STRING_SIZE
        153,  # ILLEGAL_DIVISION
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        395,  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
        407,  # DECIMAL_OVERFLOW
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseAddress:
    """How to reach and enter a server.

    Attributes:
        receive_timeout_s: without an answer for so long, the outcome is unknown.
        compression: False, or the driver's name of a codec.
        ca_file: PEM of the authorities to trust with `secure`; empty: the system's.
    """

    host: str
    port: int
    user: str
    password: str
    secure: bool = False
    ca_file: str = ""
    compression: str | bool = False
    connect_timeout_s: float = 5.0
    receive_timeout_s: float = 30.0


class ClickHouse:
    """A server: the pipeline's TableWriter of a shard and the migrations' SchemaClient.

    A connection is used by one thread at a time; there are as many as threads that ask at once.

    Attributes:
        clock_read_at_s: when its clock was measured last, by ours.
    """

    def __init__(self, address: ClickHouseAddress, wall_s: Callable[[], float]) -> None:
        self.address = address
        self._wall_s = wall_s
        self._lock = threading.Lock()
        self._idle: list[Client] = []
        self._in_use: set[Client] = set()
        self._closed = False
        self._clock_offset_s: float | None = None
        self.clock_read_at_s = 0.0

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement. Raises ServerRefused, OutcomeUnknownError."""
        try:
            with self._connection() as client:
                rows = client.execute(sql)
                return list(rows) if isinstance(rows, list) else []
        except errors.ServerException as error:
            raise ServerRefused(error.code, _first_line(error)) from error

    def now_s(self) -> float:
        """The server's clock as it was measured last; RuntimeError before any connection."""
        if self._clock_offset_s is None:
            raise RuntimeError("the clock of ClickHouse has not been read yet")
        return self._wall_s() + self._clock_offset_s

    def read_clock(self) -> None:
        """Measure the server's clock. Raises ServerRefused, OutcomeUnknownError."""
        before_s = self._wall_s()
        [(now_ms,)] = self.execute("SELECT toUnixTimestamp64Milli(now64(3))")
        after_s = self._wall_s()
        self._clock_offset_s = now_ms / 1000 - (before_s + after_s) / 2
        self.clock_read_at_s = after_s

    def insert(self, table: str, block: Block, token: str) -> None:
        """Insert the block under its token; one block in one part."""
        columns = ", ".join(f"`{column.name}`" for column in block.columns)
        query = f"INSERT INTO {table} ({columns}) VALUES"
        settings = self._insert_settings(token)
        try:
            if abs(self._wall_s() - self.clock_read_at_s) > _CLOCK_TTL_S:
                self.read_clock()
            with self._connection() as client, client.disconnect_on_error(query, settings):
                connection = client.connection
                connection.send_query(query)
                connection.send_external_tables(None)
                client.receive_sample_block()
                _send_block(connection, block)
                client.receive_profile_events()
                connection.send_data(RowOrientedBlock())
                client.receive_profile_events()
                client.receive_end_of_insert_query()
        except (errors.ServerException, ServerRefused) as error:
            sentence = f"ClickHouse answers to an insert of {block.rows} rows into {table}: " + (
                str(error) if isinstance(error, ServerRefused) else _first_line(error)
            )
            if error.code in _PASSING:
                raise OutcomeUnknownError(sentence) from error
            if error.code == _VIOLATED_CONSTRAINT and "in_time" in sentence:
                raise TooLateError(sentence) from error
            if error.code in _ABOUT_ROWS:
                raise DataRefusedError(sentence) from error
            raise RefusedError(sentence) from error

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement as the pipeline's ports want it.

        Raises OutcomeUnknownError, RefusedError.
        """
        try:
            return self.execute(sql)
        except ServerRefused as error:
            if error.code in _PASSING:
                raise OutcomeUnknownError(str(error)) from error
            raise RefusedError(str(error)) from error

    def close(self) -> None:
        """Cut every connection; an insert under way fails with an unknown outcome."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            in_use = list(self._in_use)
        for client in idle:
            client.disconnect_connection()
        for client in in_use:
            # The thread that uses it releases it; the driver is not made for two at once.
            used = client.connection.socket
            if used is not None:
                with suppress(OSError):
                    used.shutdown(socket.SHUT_RDWR)

    def _insert_settings(self, token: str) -> dict[str, str | int]:
        return {
            "insert_deduplicate": 1,
            "insert_deduplication_token": token,
            # By this a running insert is found and killed.
            "log_comment": token,
            # Views must know a repetition too, or they count it twice.
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            "async_insert": 0,
            # One block stays one block, in the table and in every view's.
            "max_insert_block_size": MAX_BATCH_ROWS,
            "min_insert_block_size_rows": MAX_BATCH_ROWS,
            "min_insert_block_size_bytes": 1 << 30,
            "max_insert_threads": 1,
            # The server gives up when nobody waits any more.
            "max_execution_time": int(self.address.receive_timeout_s),
        }

    @contextmanager
    def _connection(self) -> Iterator[Client]:
        with self._lock:
            if self._closed:
                raise OutcomeUnknownError("the connection to ClickHouse is closed")
            client = self._idle.pop() if self._idle else self._new_client()
            self._in_use.add(client)
        try:
            yield client
        except errors.ServerException:
            raise
        except (errors.Error, OSError, EOFError) as error:
            client.disconnect_connection()
            place = f"{self.address.host}:{self.address.port}"
            raise OutcomeUnknownError(
                f"ClickHouse at {place}: {_first_line(error) or type(error).__name__}"
            ) from error
        finally:
            self._release(client)

    def _release(self, client: Client) -> None:
        with self._lock:
            self._in_use.discard(client)
            if self._closed:
                client.disconnect_connection()
            else:
                self._idle.append(client)

    def _new_client(self) -> Client:
        address = self.address
        return Client(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            # The platform's own databases may not be there yet.
            database="default",
            client_name="ugc-etl",
            secure=address.secure,
            ca_certs=address.ca_file or None,
            compression=address.compression,
            connect_timeout=address.connect_timeout_s,
            send_receive_timeout=address.receive_timeout_s,
            # A setting that the server does not know must not be passed over.
            settings_is_important=True,
        )


def _send_block(connection: Any, block: Block) -> None:
    """What the driver's `send_data` does, with columns that are encoded already."""
    write_varint(ClientPacketTypes.DATA, connection.fout)
    revision = connection.server_info.used_revision
    if revision >= defines.DBMS_MIN_REVISION_WITH_TEMPORARY_TABLES:
        write_binary_str("", connection.fout)
    stream = connection.block_out
    if revision >= defines.DBMS_MIN_REVISION_WITH_BLOCK_INFO:
        BlockInfo().write(stream.fout)
    write_varint(len(block.columns), stream.fout)
    write_varint(block.rows, stream.fout)
    for column in block.columns:
        write_binary_str(column.name, stream.fout)
        write_binary_str(column.type, stream.fout)
        if revision >= defines.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION:
            write_binary_uint8(0, stream.fout)
        stream.fout.write(column.data)
    stream.finalize()


def _first_line(error: BaseException) -> str:
    # The driver puts the server's stack trace behind the message.
    text = str(error).split("Stack trace:", 1)[0]
    return re.sub(r"\s+", " ", text).strip()
