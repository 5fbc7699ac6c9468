"""ClickHouse's HTTP interface, for analysts: curl, Grafana, a browser."""

import contextlib
import json
import socket
import zlib
from collections.abc import Generator, Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from itertools import chain
from typing import Any

from ugc_local.clickhouse.departures import DepartureWatch
from ugc_local.clickhouse.engine import Answer, Session
from ugc_local.clickhouse.errors import QueryError, http_status
from ugc_local.clickhouse.gateway import Gateway, Request
from ugc_local.clickhouse.http_request import (
    STREAMED_FORMATS,
    HttpQuery,
    content_type,
    read_request,
)
from ugc_local.clickhouse.listener import Listener
from ugc_local.clickhouse.statements import Action, Statement, parse

_PIECE_BYTES = 1 << 20
_KEEP_ALIVE_S = 30.0


class HttpConnection(BaseHTTPRequestHandler):
    """One client's connection; requests follow one another on it."""

    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"
    sys_version = ""
    timeout = _KEEP_ALIVE_S

    def __init__(self, gateway: Gateway, watch: DepartureWatch, connection: socket.socket) -> None:
        """Serve the connection to its end."""
        self._gateway = gateway
        self._watch = watch
        self._query_id = ""
        self._headers_sent = False
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]

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
        self._headers_sent = False
        self._query_id = ""
        try:
            asked = read_request(self.path, self.headers)
            if asked.path == "/ping" or (must_read and asked.path == "/" and not asked.query):
                self._reply(HTTPStatus.OK, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
            elif asked.path != "/":
                self._unread_body()
                text = f"There is no handle {asked.path}\n\nUse / or /ping for health checks.\n"
                self._reply(HTTPStatus.NOT_FOUND, text.encode(), {})
            else:
                self._query(asked, must_read=must_read)
        except QueryError as error:
            self._fail(error)

    def _query(self, asked: HttpQuery, *, must_read: bool) -> None:
        try:
            account = self._gateway.login(asked.user, asked.password)
        except QueryError:
            self._unread_body()
            raise
        body = self._body()
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
            must_read=must_read,
        )
        try:
            session, statement = self._gateway.open(request)
            with session:
                self._query_id = session.query_id
                if statement.action is Action.INSERT_DATA:
                    inline = sql[statement.data_start :].encode("utf-8", "surrogateescape")
                    self._insert(session, statement, chain([inline], body))
                    return
                with self._watch.watching(self.connection, session.kill, cancellable=False):
                    self._select(session, statement, asked)
        finally:
            body.close()

    def _insert(self, session: Session, statement: Statement, data: Iterator[bytes]) -> None:
        with session.insert(statement, statement.format) as insert:
            for piece in data:
                insert.append(piece)
            written = insert.finish()
        self._reply(HTTPStatus.OK, b"", {"X-ClickHouse-Summary": _summary(written=written)})

    def _select(self, session: Session, statement: Statement, asked: HttpQuery) -> None:
        output = statement.format or asked.default_format
        headers = {"Content-Type": content_type(output), "X-ClickHouse-Format": output}
        streamed = output in STREAMED_FORMATS and not asked.buffered
        if statement.action is not Action.SELECT or not streamed:
            answer = session.run(statement.text, output, asked.params)
            headers["X-ClickHouse-Summary"] = _summary(answer)
            data = answer.data
            if asked.gzip:
                headers["Content-Encoding"] = "gzip"
                packer = zlib.compressobj(wbits=31)
                data = packer.compress(data) + packer.flush()
            self._reply(HTTPStatus.OK, data, headers)
            return
        with contextlib.closing(session.stream(statement.text, output, asked.params)) as answers:
            # The first piece before the status: most errors show by then.
            first = next(answers, Answer(b"", 0, 0, 0))
            headers["X-ClickHouse-Summary"] = _summary(first)
            pieces: Iterator[bytes] = (answer.data for answer in chain([first], answers))
            if asked.gzip:
                headers["Content-Encoding"] = "gzip"
                pieces = _zipped(pieces)
            self._reply_in_chunks(pieces, headers)

    # The body of the request.

    def _body(self) -> Generator[bytes, None, None]:
        """Yield the body piece by piece; what is not read is not left in the way."""
        if self.command != "POST":
            return
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            pieces = self._chunks()
        elif "Content-Length" in self.headers:
            pieces = self._counted()
        else:
            self.close_connection = True
            raise QueryError(381, "The request has neither Content-Length nor chunks")
        encoding = self.headers.get("Content-Encoding", "")
        if encoding not in ("", "identity", "gzip"):
            self.close_connection = True
            raise QueryError(48, f"The embedded server does not read {encoding} bodies")
        complete = False
        unpacker = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        try:
            for piece in pieces:
                yield piece if unpacker is None else unpacker.decompress(piece)
            complete = True
        except zlib.error as error:
            raise QueryError(271, f"The body is not gzip: {error}") from error
        finally:
            if not complete:
                self.close_connection = True

    def _counted(self) -> Iterator[bytes]:
        left = int(self.headers["Content-Length"])
        while left:
            piece = self.rfile.read(min(left, _PIECE_BYTES))
            if not piece:
                raise EOFError("the body of a request is cut off")
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                left = int(self.rfile.readline(1024).split(b";")[0], 16)
            except ValueError:
                raise EOFError("the chunks of a request are broken") from None
            if left == 0:
                while self.rfile.readline(65536).strip():
                    pass  # trailers
                return
            while left:
                piece = self.rfile.read(min(left, _PIECE_BYTES))
                if not piece:
                    raise EOFError("the body of a request is cut off")
                left -= len(piece)
                yield piece
            self.rfile.readline(16)

    def _unread_body(self) -> None:
        if self.command == "POST":
            self.close_connection = True

    # The reply.

    def _start(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self._headers_sent = True
        self.send_response(status)
        if self._query_id:
            self.send_header("X-ClickHouse-Query-Id", self._query_id)
            self.send_header("X-ClickHouse-Timezone", self._gateway.engine.timezone)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")

    def _reply(self, status: HTTPStatus, data: bytes, headers: dict[str, str]) -> None:
        self._start(status, headers)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reply_in_chunks(self, pieces: Iterator[bytes], headers: dict[str, str]) -> None:
        self._start(HTTPStatus.OK, headers)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in pieces:
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _fail(self, error: QueryError) -> None:
        text = f"{error} (version {self._gateway.engine.version})\n".encode(
            "utf-8", "surrogateescape"
        )
        if self._headers_sent:
            # In the middle of a result: the message is the last chunk, and that no end follows
            # makes clients fail.
            with contextlib.suppress(OSError):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
            self.close_connection = True
            return
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Exception-Code": str(error.code),
        }
        self._reply(http_status(error.code), text, headers)


def _summary(answer: Answer | None = None, written: int = 0) -> str:
    found = answer or Answer(b"", 0, 0, 0)
    counts = {
        "read_rows": found.read_rows,
        "read_bytes": found.read_bytes,
        "written_rows": written,
        "result_rows": found.rows,
        "result_bytes": len(found.data),
    }
    return json.dumps({name: str(count) for name, count in counts.items()})


def _zipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


class HttpServer(Listener):
    """The listener of the HTTP interface."""

    def __init__(self, address: tuple[str, int], gateway: Gateway, watch: DepartureWatch) -> None:
        """Bind; OSError if the port is taken."""
        super().__init__(address)
        self._connect = partial(HttpConnection, gateway, watch)

    def serve(self, connection: socket.socket) -> None:
        """Serve one client."""
        self._connect(connection)
