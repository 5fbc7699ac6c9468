"""ClickHouse's HTTP interface, for analysts: curl, Grafana, a browser."""

import contextlib
import json
import secrets
import socket
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from itertools import chain
from typing import Any

from ugc_local.clickhouse.client_session import ClientSession, NamedSessions
from ugc_local.clickhouse.compression import FramePacker, Packer, unpack, unpack_frames
from ugc_local.clickhouse.configuration import Account
from ugc_local.clickhouse.departures import DepartureWatch
from ugc_local.clickhouse.engine_session import Progress, Session
from ugc_local.clickhouse.errors import QueryError, http_status
from ugc_local.clickhouse.external_tables import ExternalTables, structure_of_types
from ugc_local.clickhouse.gateway import Gateway, Request, may_be_summarised
from ugc_local.clickhouse.http_body import Body, Form, form_boundary, read_form
from ugc_local.clickhouse.http_request import (
    HttpQuery,
    content_type,
    read_query,
    split_target,
)
from ugc_local.clickhouse.http_result import Counts, ResultQuestion, in_a_file, pieces, streamed
from ugc_local.clickhouse.listener import Listener, seconds
from ugc_local.clickhouse.native_block import from_revision, split_blocks, to_revision
from ugc_local.clickhouse.native_layout import split_type
from ugc_local.clickhouse.statements import Action, Statement, parse

_KEEP_ALIVE_S = 30.0
_RECEIVE_TIMEOUT = ("http_receive_timeout", 30.0)


class HttpConnection(BaseHTTPRequestHandler):
    """One client's connection; requests follow one another on it."""

    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"
    sys_version = ""
    timeout = _KEEP_ALIVE_S

    def __init__(
        self,
        gateway: Gateway,
        watch: DepartureWatch,
        sessions: NamedSessions,
        clock: Callable[[], float],
        connection: socket.socket,
    ) -> None:
        """Serve the connection to its end; `clock` counts seconds."""
        self._gateway = gateway
        self._watch = watch
        self._sessions = sessions
        self._clock = clock
        self._begin_request()
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]

    def _begin_request(self) -> None:
        self._query_id = ""
        self._exception_tag = ""
        self._headers_sent = False
        self._packer: Packer | FramePacker = Packer("")
        self._body: Body | None = None
        self._ending = b""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's name)
        """Say nothing: the engine keeps the query log."""

    def do_GET(self) -> None:
        """Answer a question; nothing may be changed."""
        self._handle(must_read=True)

    def do_HEAD(self) -> None:
        """Answer a health check."""
        self._handle(must_read=True)

    def do_POST(self) -> None:
        """Run any statement."""
        self._handle(must_read=False)

    def _handle(self, *, must_read: bool) -> None:
        self._begin_request()
        self.connection.settimeout(_KEEP_ALIVE_S)
        try:
            path, given = split_target(self.path)
            healthy = path in ("/ping", "/replicas_status")
            if healthy or (must_read and path == "/" and not given):
                self._reply(HTTPStatus.OK, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
            elif path != "/":
                self.close_connection |= self.command == "POST"  # its body is not read
                text = f"There is no handle {path}\n\nUse / or /ping for health checks.\n"
                self._reply(HTTPStatus.NOT_FOUND, text.encode(), {})
            else:
                self._query(given, must_read=must_read)
                self.wfile.write(self._ending)
        except QueryError as error:
            self._fail(error)

    def _query(self, given: dict[str, str], *, must_read: bool) -> None:
        boundary = form_boundary(self.headers.get("Content-Type", "")) if not must_read else ""
        try:
            asked = read_query(given, self.headers, is_form=bool(boundary))
            account = self._gateway.login(asked.user, asked.password)
            settings = {**account.settings, **asked.settings}
            # From here on each piece of the body must come, and each of the reply go, in time.
            self.connection.settimeout(seconds(_RECEIVE_TIMEOUT, settings))
            body = self._read_body(given)
        except QueryError:
            self.close_connection |= self.command == "POST"
            raise
        with ExitStack() as stack:
            stack.callback(self._leave_body)
            tables = stack.enter_context(ExternalTables(self._gateway.engine.spool_directory))
            if boundary:
                form = read_form(body, boundary)
                given = {**given, **form.fields}
                asked = read_query(given, self.headers, is_form=True)
                _add_tables(tables, form, given)
                body = iter(())
            # The rows of an INSERT named in the URL are passed on as they come; any other body is
            # the statement, or its end.
            sql = asked.query
            if not (sql and parse(sql).action is Action.INSERT_DATA):
                text = b"".join(body).decode("utf-8", "surrogateescape")
                sql = f"{sql}\n{text}" if sql and text else sql or text
            request = Request(
                account=account,
                sql=sql,
                query_id=asked.query_id,
                database=asked.database,
                settings=asked.settings,
                client=stack.enter_context(self._client(asked, account)),
                tables=tables.tables,
                must_read=must_read,
            )
            session, statement = self._gateway.open(request)
            with session:
                self._run(session, statement, request, asked, body)

    @contextlib.contextmanager
    def _client(self, asked: HttpQuery, account: Account) -> Iterator[ClientSession]:
        self._sessions.end_idle()
        if not asked.session_id:
            client = ClientSession()
            try:
                yield client
            finally:
                client.close()
            return
        with self._sessions.use(
            account.name,
            asked.session_id,
            timeout_s=0 if asked.ends_session else asked.session_timeout_s,
            must_exist=asked.session_must_exist,
        ) as client:
            yield client

    def _run(
        self,
        session: Session,
        statement: Statement,
        request: Request,
        asked: HttpQuery,
        body: Iterator[bytes],
    ) -> None:
        self._query_id = session.query_id
        letters = string.ascii_lowercase
        self._exception_tag = "".join(secrets.choice(letters) for _ in range(16))
        began_at = self._clock()
        session.watch(_say_nothing)
        if statement.action is Action.INSERT_DATA:
            inline = request.sql[statement.data_start :].encode("utf-8", "surrogateescape")
            rows: Iterable[bytes] = chain([inline], body)
            if asked.protocol_version and statement.format == "Native":
                rows = from_revision(rows, asked.protocol_version)
            written = _insert(session, statement, rows)
            self._reply_in_chunks([], self._summary(session, began_at, written=written), asked)
            return
        with self._watch.watching(self.connection, session.kill, cancellable=False):
            if statement.action is Action.SELECT:
                self._select(session, statement, request, asked, began_at)
                return
            output = statement.format or asked.default_format
            answer = session.run(statement.text, output, asked.params)
            self._gateway.remember(request, session, statement)
            data = answer.data
            if output == "Native" and asked.protocol_version:
                data = b"".join(
                    to_revision(block, shape.columns, asked.protocol_version)
                    for shape, block in split_blocks(data)
                )
            counts = Counts(answer.rows, len(data))
            headers = _format_headers(output) if data else {}
            headers |= self._summary(session, began_at, counts, answer.written_rows)
            self._reply_in_chunks([data], headers, asked)

    def _select(
        self,
        session: Session,
        statement: Statement,
        request: Request,
        asked: HttpQuery,
        began_at: float,
    ) -> None:
        output = statement.format or asked.default_format
        counts = Counts()
        question = ResultQuestion(
            statement,
            output,
            asked.params,
            asked.protocol_version,
            may_be_summarised(request, statement),
        )
        headers = _format_headers(output)
        if asked.buffered or not question.can_be_streamed:
            with in_a_file(session, question, counts) as file:
                headers |= self._summary(session, began_at, counts)
                self._reply_in_chunks(pieces(file), headers, asked)
            return
        with contextlib.closing(streamed(session, question, counts)) as data:
            # The first piece before the status: most errors show by then.
            first = next(data, b"")
            headers |= self._summary(session, began_at, counts)
            self._reply_in_chunks(chain([first], data), headers, asked)

    def _summary(
        self,
        session: Session,
        began_at: float,
        counts: Counts | None = None,
        written: int = 0,
    ) -> dict[str, str]:
        found, progress = counts or Counts(), session.progress
        values = {
            "read_rows": progress.read_rows,
            "read_bytes": progress.read_bytes,
            "written_rows": max(written, progress.written_rows),
            "written_bytes": progress.written_bytes,
            "total_rows_to_read": progress.total_rows_to_read,
            "result_rows": found.rows,
            "result_bytes": found.size_bytes,
            "elapsed_ns": int((self._clock() - began_at) * 1e9),
        }
        text = json.dumps({name: str(value) for name, value in values.items()})
        return {"X-ClickHouse-Summary": text}

    # The body of the request.

    def _read_body(self, given: Mapping[str, str]) -> Iterator[bytes]:
        if self.command != "POST":
            return iter(())
        self._body = Body(self.rfile, self.headers)
        plain = unpack(self.headers.get("Content-Encoding", ""), self._body)
        return unpack_frames(plain) if given.get("decompress") == "1" else plain

    def _leave_body(self) -> None:
        """What was not read would pass for the next request."""
        if self._body is not None and not self._body.complete:
            self.close_connection = True

    # The reply.

    def _start(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self._leave_body()
        self._headers_sent = True
        self.send_response(status)
        self.send_header("X-ClickHouse-Server-Display-Name", "ugc-local")
        if self._query_id:
            self.send_header("X-ClickHouse-Query-Id", self._query_id)
            self.send_header("X-ClickHouse-Timezone", self._gateway.engine.timezone)
            self.send_header("X-ClickHouse-Exception-Tag", self._exception_tag)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")

    def _reply(self, status: HTTPStatus, data: bytes, headers: Mapping[str, str]) -> None:
        self._start(status, headers)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reply_in_chunks(
        self, data: Iterable[bytes], headers: Mapping[str, str], asked: HttpQuery
    ) -> None:
        """Send a result but for its ending, which `_handle` sends when the query has let go.

        A client may ask again at once, in the same session or under the same query id.
        """
        self._packer = FramePacker() if asked.frames else Packer(asked.coding)
        self._start(HTTPStatus.OK, headers)
        if asked.coding and not asked.frames:
            self.send_header("Content-Encoding", asked.coding)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in data:
            self._send_chunk(self._packer.pack(piece))
        self._send_chunk(self._packer.end())
        self._ending = b"0\r\n\r\n"

    def _send_chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _fail(self, error: QueryError) -> None:
        text = f"{error} (version {self._gateway.engine.version})\n".encode(
            "utf-8", "surrogateescape"
        )
        if self._headers_sent:
            # In the middle of a result: the message comes last in the body, framed by the tag of
            # the headers (as ClickHouse does from 25.11 on), and that no last chunk follows makes
            # every client fail.
            tag = self._exception_tag.encode()
            framed = b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (
                *(tag, text, len(text)),
                tag,
            )
            with contextlib.suppress(OSError):
                self._send_chunk(self._packer.pack(framed) + self._packer.end())
            self.close_connection = True
            return
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Exception-Code": str(error.code),
        }
        self._reply(http_status(error.code), text, headers)


def _say_nothing(progress: Progress) -> None:
    """Progress is read off the session when it is wanted."""


def _format_headers(output: str) -> dict[str, str]:
    return {"Content-Type": content_type(output), "X-ClickHouse-Format": output}


def _insert(session: Session, statement: Statement, data: Iterable[bytes]) -> int:
    with session.insert(statement, statement.format) as insert:
        for piece in data:
            insert.append(piece)
        return insert.finish()


def _add_tables(tables: ExternalTables, form: Form, given: Mapping[str, str]) -> None:
    for name, data in form.files.items():
        structure = given.get(f"{name}_structure", "")
        if types := given.get(f"{name}_types"):
            structure = structure_of_types(split_type(f"types({types})")[1])
        if not structure:
            raise QueryError(
                36, f"External table {name} needs the field {name}_structure or {name}_types"
            )
        tables.add(name, structure, given.get(f"{name}_format", "TabSeparated"), data)


class HttpServer(Listener):
    """The listener of the HTTP interface."""

    def __init__(
        self,
        address: tuple[str, int],
        gateway: Gateway,
        watch: DepartureWatch,
        clock: Callable[[], float],
    ) -> None:
        """Bind; OSError if the port is taken. `clock` counts seconds and never goes back."""
        super().__init__(address)
        self._sessions = NamedSessions(clock)
        self._connect = partial(HttpConnection, gateway, watch, self._sessions, clock)

    def serve(self, connection: socket.socket) -> None:
        """Serve one client."""
        self._connect(connection)

    def join(self) -> None:
        """Wait for the threads of the connections, then end the sessions."""
        super().join()
        self._sessions.close()
