"""How a server says no: before a result, in the middle of one, and on both ways of asking.

https://clickhouse.com/docs/interfaces/http#http_response_codes_caveats,
https://clickhouse.com/docs/native-protocol/server (Exception)
"""

import contextlib
import gzip
import http.client
import re
import zlib

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_driver.errors import ServerException
from ugc_local.clickhouse.compression import unpack
from ugc_local.clickhouse.errors import QueryError

pytestmark = pytest.mark.integration

# The block at fault is far behind the first.
LATE = (
    "SELECT number, throwIf(number = 500000, 'in the middle') FROM numbers(600000)"
    " SETTINGS max_threads = 1, max_block_size = 10000"
)
# So much that a server has to send some of it before, however well it is packed.
LATE_AND_LARGE = (
    "SELECT number, throwIf(number = 300000, 'in the middle'), generateUUIDv4()"
    " FROM numbers(400000) SETTINGS max_threads = 1, max_block_size = 10000"
)
REFUSALS = [
    ("SELECT * FROM no_such_table", 60, 404),
    ("SELECT no_such_column FROM system.one", 47, 404),
    ("SELECT no_such_function()", 46, 404),
    ("SELECT * FROM no_such_database.t", 81, 404),
    ("SELEC 1", 62, 400),
    ("SELECT CAST('x' AS UInt8)", 6, 400),
    ("SELECT 1 + 'a'", 43, None),
    ("SELECT throwIf(1)", 395, 500),
    ("SELECT 1 FORMAT NoSuchFormat", 73, 404),
    ("INSERT INTO no_such_table VALUES (1)", 60, 404),
    ("CREATE TABLE x (a NoSuchType) ENGINE = Memory", 50, 404),
    ("SELECT sleep(4)", 160, None),
]


@pytest.mark.parametrize(("sql", "code", "status"), REFUSALS)
def test_over_http(server, sql, code, status):
    reply = server.request(sql)
    assert reply.code == code
    assert reply.status == (status or reply.status) >= 400
    assert re.match(rf"Code: {code}\. DB::Exception: .*\([A-Z_]+\)", reply.text, re.DOTALL)


def test_over_native(server):
    """The connection goes on after each of them."""
    client = server.client()
    connection = client.connection
    client.execute("SELECT 1")
    sock = connection.socket
    for sql, code, _ in REFUSALS:
        if "FORMAT" in sql:
            continue  # the client's own business here
        connection.send_query(sql)
        connection.send_external_tables(None)
        while (packet := connection.receive_packet()).exception is None:
            pass
        assert packet.exception.code == code, sql
        connection.is_query_executing = False
    assert client.execute("SELECT 1") == [(1,)]
    assert connection.socket is sock


def test_a_connection_over_http_goes_on_after_an_error(server):
    connection = http.client.HTTPConnection(*server.http)
    headers = {"X-ClickHouse-User": server.admin.name, "X-ClickHouse-Key": server.admin.password}
    connection.connect()
    sock = connection.sock
    for sql, status in ((b"SELECT 1", 200), (b"SELECT nosuch", 404), (b"SELECT 2", 200)):
        connection.request("POST", "/", sql, headers)
        response = connection.getresponse()
        response.read()
        assert (response.status, connection.sock) == (status, sock)
    connection.close()


def test_in_mid_result_over_native(server):
    client = server.client()
    with pytest.raises(ServerException, match="in the middle") as failure:
        client.execute(LATE)
    assert failure.value.code == 395
    assert client.execute("SELECT 1") == [(1,)]
    connection = client.connection
    connection.send_query(LATE)
    connection.send_external_tables(None)
    rows = 0
    while (packet := connection.receive_packet()).exception is None:
        rows += packet.block.num_rows if packet.block is not None else 0
    connection.is_query_executing = False
    assert rows >= 10_000  # they came before it
    assert client.execute("SELECT 1") == [(1,)]


@pytest.mark.parametrize("coding", ["", "gzip", "deflate", "zstd", "lz4"])
def test_in_mid_result_over_http_it_is_in_the_body_behind_the_tag(server, coding):
    """And no last chunk follows, so that a client without an idea of tags fails too."""
    connection = http.client.HTTPConnection(*server.http, timeout=60)
    headers = {"X-ClickHouse-User": server.admin.name, "X-ClickHouse-Key": server.admin.password}
    if coding:
        headers["Accept-Encoding"] = coding
    connection.request("POST", "/?enable_http_compression=1", LATE_AND_LARGE.encode(), headers)
    response = connection.getresponse()
    assert response.status == 200
    tag = response.headers["X-ClickHouse-Exception-Tag"]
    assert re.fullmatch("[a-z]{16}", tag)
    with pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    connection.close()
    body = b""
    with contextlib.suppress(QueryError):  # a server need not end what it packs
        for piece in unpack(coding, [cut.value.partial]):
            body += piece
    frame = re.search(
        rb"\r\n__exception__\r\n%b\r\n(Code: 395\..*)\n(\d+) %b\r\n__exception__\r\n\Z"
        % (tag.encode(), tag.encode()),
        body,
        re.DOTALL,
    )
    assert frame is not None
    assert b"in the middle" in frame[1]
    rows = body[: frame.start()].split(b"\n")
    assert [row[:4] for row in rows[:3]] == [b"0\t0\t", b"1\t0\t", b"2\t0\t"]
    assert 1000 < len(rows) < 300_001


def test_in_mid_result_clickhouse_connect_raises_it(server):
    web = server.connect()
    with (
        pytest.raises(StreamFailureError, match="in the middle"),
        web.query_row_block_stream(LATE_AND_LARGE) as blocks,
    ):
        for _ in blocks:
            pass
    assert web.command("SELECT 1") == 1


@pytest.mark.parametrize("form", ["TabSeparated", "JSON", "Native", "CSVWithNames", "Parquet"])
def test_a_client_that_waits_for_the_end_gets_a_status(server, form):
    reply = server.request(f"{LATE} FORMAT {form}", wait_end_of_query="1")
    assert (reply.status, reply.code) == (500, 395)
    assert b"__exception__" not in reply.body


def test_inserts_report_what_the_end_brings(server, native, web, table):
    """A constraint sees the rows when all were sent."""
    server.ask(
        f"CREATE TABLE {table} (a UInt8, CONSTRAINT small CHECK a < 10)"
        " ENGINE = MergeTree ORDER BY a"
    )
    with pytest.raises(ServerException) as refusal:
        native.execute(f"INSERT INTO {table} VALUES", [(1,), (50,)])
    assert refusal.value.code == 469
    with pytest.raises(DatabaseError, match="469"):
        web.insert(table, [[1], [50]])
    assert server.request(f"INSERT INTO {table} FORMAT CSV", b"1\n50\n").code == 469
    assert server.ask(f"SELECT count() FROM {table}") == "0"
    assert native.execute(f"INSERT INTO {table} VALUES", [(1,)]) == 1


def test_a_view_that_fails_fails_the_insert(server, native, table):
    server.ask(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
    view = f"CREATE MATERIALIZED VIEW {table}_v ENGINE = Memory AS SELECT throwIf(a = 7) AS b"
    server.ask(f"{view} FROM {table}")
    with pytest.raises(ServerException) as refusal:
        native.execute(f"INSERT INTO {table} VALUES", [(7,)])
    assert refusal.value.code == 395
    server.ask(f"DROP TABLE {table}_v SYNC")


@pytest.mark.parametrize(
    ("form", "rows"),
    [
        ("CSV", b"x\n"),
        ("JSONEachRow", b'{"a": "x"}'),
        ("JSONEachRow", b"{"),
        ("Values", b"(1"),
        ("RowBinary", b"\1\2"),
        ("Native", b"\1\1\1a\5UInt8"),
        ("Parquet", b"garbage"),
    ],
)
def test_rows_that_are_not_of_the_format(server, table, form, rows):
    server.ask(f"CREATE TABLE {table} (a UInt16) ENGINE = MergeTree ORDER BY a")
    reply = server.request(
        f"INSERT INTO {table} FORMAT {form}", rows[:-1] if form == "RowBinary" else rows
    )
    assert reply.status >= 400
    assert reply.code
    assert server.ask(f"SELECT count() FROM {table}") == "0"


def test_bodies_that_are_not_of_their_encoding(server):
    for coding, body in (
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"SELECT 1")[:-6]),
        ("deflate", zlib.compress(b"SELECT 1")[:-6]),
        ("zstd", b"not zstd"),
        ("lz4", b"not lz4"),
        ("nosuch", b"SELECT 1"),
    ):
        reply = server.request(body, headers={"Content-Encoding": coding})
        assert reply.status >= 400, coding
        assert reply.code, coding
    assert server.request(b"x" * 100, decompress="1").code


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1;;SELECT 2",
        "SELECT 1; DROP TABLE system.one",
        "SET max_threads = 1; SELECT 1",
        "SELECT 1); SELECT 2; SELECT (1",
    ],
)
def test_several_statements_are_refused_whole(server, native, sql):
    assert server.request(sql).code == 62
    assert server.request(sql, method="GET").code == 62
    with pytest.raises(ServerException) as refusal:
        native.execute(sql)
    assert refusal.value.code == 62


def test_nothing_of_several_statements_is_done(server, native, table):
    """Also where one of them does not parse."""
    server.ask(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
    for sql in (
        f"DROP TABLE {table}; SELECT 1",
        f"DROP TABLE {table}; no sense (",
        f"SELECT 1; DROP TABLE {table}",
        f"SELECT 1); DROP TABLE {table}; SELECT (1",
        f"INSERT INTO {table}; DROP TABLE {table} VALUES",
    ):
        assert server.request(sql).status >= 400, sql
        with pytest.raises(ServerException):
            native.execute(sql)
    for parameters in (
        {"default_format": f"JSON; DROP TABLE {table}"},
        {"default_format": f"JSON SETTINGS max_threads = 1; DROP TABLE {table}"},
    ):
        assert server.request("SELECT 1", **parameters).status >= 400
    assert server.ask(f"EXISTS {table}") == "1"


@pytest.mark.parametrize("sql", ["SELECT 1;", "SELECT 1 ; -- and a comment", "/* a; b */ SELECT 1"])
def test_one_statement_with_a_semicolon_is_one(server, native, sql):
    assert server.ask(sql) == "1"
    assert native.execute(sql) == [(1,)]


def test_a_get_cannot_change_anything(server, table):
    server.ask(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
    for sql in (
        f"INSERT INTO {table} VALUES (1)",
        f"DROP TABLE {table}",
        f"TRUNCATE TABLE {table}",
    ):
        assert server.request(sql, method="GET").code == 164
    assert server.request(f"SELECT count() FROM {table}", method="GET").text == "0"


def test_a_post_without_length_is_refused(server):
    connection = http.client.HTTPConnection(*server.http, timeout=60)
    connection.putrequest("POST", "/")
    connection.putheader("X-ClickHouse-User", server.admin.name)
    connection.putheader("X-ClickHouse-Key", server.admin.password)
    connection.endheaders()
    assert connection.getresponse().status == 411
    connection.close()


def test_paths_without_a_handler(server):
    assert server.request(method="GET", path="/no/such").status == 404
    connection = http.client.HTTPConnection(*server.http, timeout=60)
    for path in ("/ping", "/replicas_status", "/"):
        connection.request("GET", path)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"Ok.\n")
    connection.close()


def test_a_question_without_a_query(server):
    assert server.request(method="GET", database="system").code == 62
    assert server.request(b"").code == 62
