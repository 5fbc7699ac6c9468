"""ClickHouse's native protocol over TCP: a thread a connection, a session a query."""

import contextlib
import socket
import threading

from ugc_local.clickhouse.client_session import ClientSession
from ugc_local.clickhouse.configuration import Account
from ugc_local.clickhouse.departures import DepartureWatch
from ugc_local.clickhouse.engine_session import Progress, Session
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.external_tables import ExternalTables, structure_of
from ugc_local.clickhouse.gateway import (
    Gateway,
    Request,
    insert_columns,
    may_be_summarised,
    result_columns,
)
from ugc_local.clickhouse.listener import Listener, seconds
from ugc_local.clickhouse.native_block import (
    Columns,
    encode_header,
    loses_time_zone,
    restore_time_zones,
    split_blocks,
)
from ugc_local.clickhouse.native_layout import layout_of
from ugc_local.clickhouse.native_protocol import (
    ClientPacket,
    ClientStream,
    ProtocolError,
    UnreadableBlockError,
)
from ugc_local.clickhouse.result_summary import summarised_result
from ugc_local.clickhouse.statements import Action, Statement

_HELLO_TIMEOUT_S = 30.0
# What a client may set, or its profile, with ClickHouse's defaults.
_IDLE_TIMEOUT = ("idle_connection_timeout", 3600.0)
_RECEIVE_TIMEOUT = ("receive_timeout", 300.0)


class NativeConnection:
    """One client's connection, from hello to goodbye."""

    def __init__(self, connection: socket.socket, gateway: Gateway, watch: DepartureWatch) -> None:
        """Take over a connected socket."""
        self._socket = connection
        self._stream = ClientStream(connection)
        self._gateway = gateway
        self._watch = watch
        self._client = ClientSession()

    def serve(self) -> None:
        """Answer queries until the client leaves, breaks the protocol, or is silent too long."""
        try:
            self._serve()
        finally:
            self._client.close()

    def _serve(self) -> None:
        self._socket.settimeout(_HELLO_TIMEOUT_S)
        account = self._greet()
        if account is None:
            return
        while True:
            self._socket.settimeout(seconds(_IDLE_TIMEOUT, account.settings))
            packet = self._stream.next_packet()
            if packet is ClientPacket.PING:
                self._stream.send_pong()
            elif packet is ClientPacket.QUERY:
                self._query(account)
            elif packet is not ClientPacket.CANCEL:  # that came too late: nothing runs
                raise ProtocolError(f"{packet.name} outside a query")

    def _greet(self) -> Account | None:
        if self._stream.next_packet() is not ClientPacket.HELLO:
            raise ProtocolError("no hello")
        hello = self._stream.read_hello()
        try:
            account = self._gateway.login(hello.user, hello.password)
        except QueryError as error:
            self._stream.send_exception(error)
            return None
        self._client.database = hello.database
        engine = self._gateway.engine
        self._stream.send_hello(
            hello, version=engine.version, timezone=engine.timezone, name="ugc-local"
        )
        return account

    def _query(self, account: Account) -> None:
        query = self._stream.read_query()
        settings = {**account.settings, **query.settings}
        self._socket.settimeout(seconds(_RECEIVE_TIMEOUT, settings))
        try:
            with ExternalTables(self._gateway.engine.spool_directory) as sent:
                # First all that the client sends anyway: else it would pass for the next packet.
                self._receive_tables(sent)
                request = Request(
                    account=account,
                    sql=query.sql,
                    query_id=query.query_id,
                    settings=query.settings,
                    client=self._client,
                    tables=sent.tables,
                    summary_apart=True,
                )
                session, statement = self._gateway.open(request)
                with session:
                    self._run(session, statement, request)
        except QueryError as error:
            self._stream.send_exception(error)
        except UnreadableBlockError as unreadable:
            self._stream.send_exception(unreadable.error)
            raise

    def _receive_tables(self, sent: ExternalTables) -> None:
        failure: QueryError | None = None
        while True:
            if self._stream.next_packet() is not ClientPacket.DATA:
                raise ProtocolError("a query is followed by data")
            block = self._stream.read_block()
            if block.ends:
                break
            if failure is None:
                try:
                    sent.add(block.table, structure_of(block.shape.columns), "Native", block.data)
                except QueryError as error:
                    failure = error
        if failure is not None:
            raise failure

    def _run(self, session: Session, statement: Statement, request: Request) -> None:
        if statement.action is Action.INSERT_DATA:
            inline = request.sql[statement.data_start :].strip()
            if inline:
                self._insert_inline(session, statement, inline)
            else:
                self._insert(session, statement)
            return
        cancelled = threading.Event()

        def stop() -> None:
            cancelled.set()
            session.kill()

        if self._stream.pending() == ClientPacket.CANCEL:
            self._stream.send_end()
            return
        try:
            with self._watch.watching(self._socket, stop, cancellable=True):
                if statement.action is not Action.SELECT:
                    self._other(session, statement, request)
                elif may_be_summarised(request, statement):
                    self._select_summarised(session, statement)
                else:
                    columns = self._begin(session, statement)
                    self._stream_rows(session, statement.text, columns)
        except QueryError:
            if not cancelled.is_set():
                raise
        self._stream.send_end()

    def _begin(self, session: Session, statement: Statement) -> Columns:
        columns = result_columns(session, statement)
        self._stream.send_block(encode_header(columns))
        session.watch(ProgressReports(self._stream).report)
        return columns

    def _select_summarised(self, session: Session, statement: Statement) -> None:
        columns = self._begin(session, statement)
        with summarised_result(session, statement.text, columns) as result:
            session.watch(_say_nothing)  # it is of the file now
            self._stream_rows(session, result.rows, columns, result.totals, result.extremes)

    def _stream_rows(
        self,
        session: Session,
        sql: str,
        columns: Columns,
        totals: bytes = b"",
        extremes: bytes = b"",
    ) -> None:
        zoned = any(loses_time_zone(type_name) for _, type_name in columns)

        def whole(data: bytes) -> bytes:
            return restore_time_zones(data, columns) if zoned else data

        rows = blocks = size_bytes = 0
        with contextlib.closing(session.stream(sql, "Native")) as answers:
            for answer in answers:
                rows += answer.rows
                blocks += 1
                size_bytes += len(answer.data)
                self._stream.send_block(whole(answer.data))
        if totals:
            self._stream.send_totals(whole(totals))
        if extremes:
            self._stream.send_extremes(whole(extremes))
        self._stream.send_profile(rows=rows, blocks=blocks, size_bytes=size_bytes)

    def _other(self, session: Session, statement: Statement, request: Request) -> None:
        session.watch(ProgressReports(self._stream).report)
        answer = session.run(statement.text, "Native")
        session.watch(_say_nothing)
        self._gateway.remember(request, session, statement)
        for number, (shape, data) in enumerate(split_blocks(answer.data)):
            if number == 0:
                self._stream.send_block(encode_header(shape.columns))
            self._stream.send_block(data)

    def _insert_inline(self, session: Session, statement: Statement, data: str) -> None:
        with session.insert(statement, statement.format) as insert:
            insert.append(data.encode())
            written = insert.finish()
        self._stream.send_progress(written_rows=written)
        self._stream.send_end()

    def _insert(self, session: Session, statement: Statement) -> None:
        """Pass the client's blocks on to the engine; the last, empty one commits."""
        columns = insert_columns(session, statement)
        for _, type_name in columns:
            layout_of(type_name)  # a type that cannot be passed on is refused before any data
        failure: QueryError | None = None
        rows = size_bytes = 0
        with session.insert(statement, "Native") as insert:
            self._stream.send_block(encode_header(columns))
            while True:
                packet = self._stream.next_packet()
                if packet is ClientPacket.CANCEL:
                    self._stream.send_end()
                    return
                if packet is not ClientPacket.DATA:
                    raise ProtocolError(f"{packet.name} within an INSERT")
                block = self._stream.read_block()
                if block.ends:
                    break
                # After a failure the client still sends what it has: it reads the error last.
                if failure is None and block.shape.rows:
                    try:
                        insert.append(block.data)
                    except QueryError as error:
                        failure = error
                rows += block.shape.rows
                size_bytes += len(block.data)
            if failure is not None:
                raise failure
            if rows:
                insert.finish()
        self._stream.send_progress(written_rows=rows, written_bytes=size_bytes)
        self._stream.send_end()


def _say_nothing(progress: Progress) -> None:
    """Take the place of a report."""


class ProgressReports:
    """Sends a query's progress, which the protocol wants as differences."""

    def __init__(self, stream: ClientStream) -> None:
        """Begin a query."""
        self._stream = stream
        self._told = Progress()

    def report(self, now: Progress) -> None:
        """Send what is new; a client that has gone is the watch's business."""
        told, self._told = self._told, now
        with contextlib.suppress(OSError):
            self._stream.send_progress(
                rows=now.read_rows - told.read_rows,
                size_bytes=now.read_bytes - told.read_bytes,
                total_rows=max(now.total_rows_to_read - told.total_rows_to_read, 0),
                written_rows=now.written_rows - told.written_rows,
                written_bytes=now.written_bytes - told.written_bytes,
            )


class NativeServer(Listener):
    """The listener of the native protocol."""

    def __init__(self, address: tuple[str, int], gateway: Gateway, watch: DepartureWatch) -> None:
        """Bind; OSError if the port is taken."""
        super().__init__(address)
        self._gateway = gateway
        self._watch = watch

    def serve(self, connection: socket.socket) -> None:
        """Serve one client."""
        NativeConnection(connection, self._gateway, self._watch).serve()
