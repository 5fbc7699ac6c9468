"""The HTTP interface, as curl and Grafana use it."""

import base64
import gzip
import http.client
import json
import socket

import pytest

pytestmark = pytest.mark.integration

ENDLESS = b"SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"


@pytest.fixture(scope="module", autouse=True)
def _table(server):
    server.ask(
        "CREATE TABLE films (id UInt32, title String, seen UInt8 DEFAULT 3)"
        " ENGINE = MergeTree ORDER BY id"
    )
    server.ask("INSERT INTO films (id, title) VALUES (1, 'Aelita'), (2, 'Mimino')")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/ping", "/"])
def test_health(server, method, path):
    reply = server.http(path=path, method=method)
    assert (reply.status, reply.body) == (200, b"Ok.\n" if method == "GET" else b"")


def test_other_paths(server):
    reply = server.http(path="/nosuch")
    assert reply.status == 404
    assert b"There is no handle /nosuch" in reply.body


class TestQueries:
    def test_where_the_statement_may_stand(self, server):
        assert server.http("SELECT 1").body == b"1\n"
        assert server.http(body=b"SELECT 1").body == b"1\n"
        assert server.http("SELECT id", b"FROM films ORDER BY id").body == b"1\n2\n"
        assert server.http(body=iter([b"SELECT ", b"'chunked'"])).body == b"chunked\n"
        packed = gzip.compress(b"SELECT 'packed'")
        assert server.http(body=packed, headers={"Content-Encoding": "gzip"}).body == b"packed\n"

    @pytest.mark.parametrize(
        ("output", "media", "body"),
        [
            ("TabSeparated", "text/tab-separated-values", b"1\tAelita\n2\tMimino\n"),
            ("CSV", "text/csv", b'1,"Aelita"\n2,"Mimino"\n'),
            ("CSVWithNames", "text/csv", b'"id","title"\n1,"Aelita"\n2,"Mimino"\n'),
            (
                "JSONEachRow",
                "application/x-ndjson",
                b'{"id":1,"title":"Aelita"}\n{"id":2,"title":"Mimino"}\n',
            ),
            ("Values", "text/plain", b"(1,'Aelita'),(2,'Mimino')"),
            ("RowBinary", "application/octet-stream", b"\1\0\0\0\6Aelita\2\0\0\0\6Mimino"),
        ],
    )
    def test_formats(self, server, output, media, body):
        sql = "SELECT id, title FROM films ORDER BY id"
        for reply in (
            server.http(f"{sql} FORMAT {output}"),
            server.http(sql, default_format=output),
            server.http(sql, headers={"X-ClickHouse-Format": output}),
            server.http(f"{sql} FORMAT {output}", default_format="JSON", wait_end_of_query="1"),
        ):
            assert (reply.status, reply.body) == (200, body)
            assert reply.headers["Content-Type"].split(";")[0] == media
            assert reply.headers["X-ClickHouse-Format"] == output

    def test_json_is_whole(self, server):
        reply = server.http("SELECT number FROM numbers(200000) FORMAT JSONCompact")
        found = json.loads(reply.body)
        assert (found["rows"], len(found["data"])) == (200000, 200000)
        assert reply.headers["Content-Type"] == "application/json; charset=UTF-8"
        summary = json.loads(reply.headers["X-ClickHouse-Summary"])
        assert summary["result_rows"] == "200000"

    def test_large_results_are_streamed(self, server):
        reply = server.http("SELECT number FROM numbers(300000)")
        assert reply.headers["Transfer-Encoding"] == "chunked"
        assert reply.body == b"".join(b"%d\n" % number for number in range(300000))

    def test_other_statements(self, server):
        assert server.http("SHOW TABLES").body == b"films\n"
        assert server.http("EXISTS films FORMAT JSONEachRow").body == b'{"result":1}\n'

    def test_parameters_settings_and_ids(self, server):
        sql = "SELECT {a:UInt8} + 1, {b:String}, getSetting('max_threads'), currentDatabase()"
        reply = server.http(
            sql, param_a="3", param_b="x'y", max_threads="5", database="system", query_id="my id"
        )
        assert reply.body == b"4\tx\\'y\t5\tsystem\n"
        assert reply.headers["X-ClickHouse-Query-Id"] == "my id"
        assert server.http("SELECT 1", no_such_setting="1").code == 115

    def test_compression_where_it_is_accepted_and_not_forbidden(self, server):
        headers = {"Accept-Encoding": "gzip"}
        for sql in ("SELECT number FROM numbers(1000)", "SELECT 1 FORMAT JSONCompactColumns"):
            plain = server.http(sql)
            assert "Content-Encoding" not in plain.headers
            forbidden = server.http(sql, headers=headers, enable_http_compression="0")
            assert (forbidden.headers.get("Content-Encoding"), forbidden.body) == (None, plain.body)
            packed = server.http(sql, headers=headers)
            assert packed.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(packed.body) == plain.body


class TestInserts:
    @pytest.mark.parametrize(
        ("sql", "body"),
        [
            ("INSERT INTO films (id, title) FORMAT CSV", b'10,"A"\n11,"B\n;B"\n'),
            ("INSERT INTO films (id, title) VALUES", b"(10, 'A'), (11, 'B\\n;B')"),
            (None, b"INSERT INTO films (id, title) VALUES (10, 'A'), (11, 'B\\n;B')"),
            (
                None,
                b'INSERT INTO films FORMAT JSONEachRow\n{"id":10,"title":"A"}\n'
                b'{"id":11,"title":"B\\n;B"}\n',
            ),
            (
                "INSERT INTO films SETTINGS max_threads = 1 FORMAT JSONCompactEachRow",
                b'[10, "A", 3]\n[11, "B\\n;B", 3]',
            ),
            ("INSERT INTO films (id, title) SELECT * FROM values((10, 'A'), (11, 'B\\n;B'))", b""),
        ],
    )
    def test_rows_come_with_the_request(self, server, sql, body):
        reply = server.http(sql, body)
        assert (reply.status, reply.body) == (200, b"")
        found = server.ask("SELECT id, title, seen FROM films WHERE id >= 10 ORDER BY id")
        assert found == "10\tA\t3\n11\tB\\n;B\t3"
        server.http(body=b"DELETE FROM films WHERE id >= 10")

    def test_a_long_chunked_body(self, server):
        rows = (b"%d\tx\n" % number for number in range(1000, 101000))
        reply = server.http("INSERT INTO films (id, title) FORMAT TSV", rows)
        assert json.loads(reply.headers["X-ClickHouse-Summary"])["written_rows"] == "100000"
        assert server.ask("SELECT count(), max(id) FROM films WHERE id >= 1000") == "100000\t100999"
        server.http(body=b"DELETE FROM films WHERE id >= 10")

    def test_a_request_cut_off_inserts_nothing(self, server, eventually):
        with socket.create_connection(("127.0.0.1", server.ports.http)) as wire:
            wire.sendall(
                b"POST /?query=INSERT%20INTO%20films%20(id)%20FORMAT%20CSV HTTP/1.1\r\n"
                b"Content-Length: 100\r\n\r\n77\n78\n"
            )
        spool = server.directory / "data" / "embedded" / "inserts"
        eventually(lambda: not list(spool.iterdir()))
        assert server.ask("SELECT count() FROM films WHERE id > 70") == "0"

    def test_bad_rows(self, server):
        reply = server.http("INSERT INTO films (id) FORMAT CSV", b"x\n")
        assert (reply.status, reply.code) == (400, 117)


@pytest.mark.parametrize(
    ("sql", "code", "status"),
    [
        ("SELECT * FROM nosuch", 60, 404),
        ("SELECT nosuch", 47, 404),
        ("SELECT nosuch()", 46, 404),
        ("SELECT * FROM nosuch.t", 81, 404),
        ("SELECT 1 FORMAT NoSuch", 73, 404),
        ("SELECT 1 FROM", 62, 400),
        ("SELECT 1; SELECT 2", 62, 400),
        ("SELECT CAST('x', 'UInt8')", 6, 400),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT count() FROM numbers(10000000000) SETTINGS max_execution_time = 0.1", 159, 408),
        ("DROP TABLE films", 164, 500),
        ("INSERT INTO films (id) VALUES (9)", 164, 500),
        ("SYSTEM FLUSH LOGS", 164, 500),
        ("SET max_threads = 1; DROP TABLE films", 62, 400),
        ("SELECT 1 INTO OUTFILE 'x'", 48, 501),
    ],
)
def test_errors_over_get(server, sql, code, status):
    reply = server.http(sql)
    assert (reply.code, reply.status) == (code, status)
    assert reply.body.startswith(b"Code: %d. DB::Exception: " % code)
    assert server.ask("SELECT count() FROM films WHERE id < 10") == "2"


def test_an_error_in_mid_result_cannot_pass_for_its_end(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.ports.http)
    sql = (
        b"SELECT number, throwIf(number = 300000) FROM numbers(400000)"
        b" SETTINGS max_threads = 1, max_block_size = 1000"
    )
    connection.request("POST", "/", sql, {"Connection": "keep-alive"})
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()


def test_a_post_needs_a_length(server):
    with socket.create_connection(("127.0.0.1", server.ports.http)) as wire:
        wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 411 ")


def test_a_connection_serves_many_requests(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.ports.http)
    connection.connect()
    wire = connection.sock
    for sql, status in (
        (b"SELECT 1", 200),
        (b"SELECT nosuch", 404),
        (b"SELECT 2 FORMAT JSON", 200),
    ):
        connection.request("POST", "/", sql)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert connection.sock is wire
    connection.close()


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class TestUsers:
    def test_where_the_password_may_stand(self, server):
        password = "etl's secret"
        for reply in (
            server.http("SELECT 7", user="etl", password=password),
            server.http("SELECT 7", headers=basic("etl", password)),
            server.http(
                "SELECT 7", headers={"X-ClickHouse-User": "etl", "X-ClickHouse-Key": password}
            ),
        ):
            assert reply.body == b"7\n"

    def test_a_wrong_one_is_refused(self, server):
        for reply in (
            server.http("SELECT 7", user="etl"),
            server.http("SELECT 7", user="nobody", password="x"),
            server.http("SELECT 7", headers=basic("etl", "x")),
            server.http("SELECT 7", headers={"Authorization": "Basic ???"}),
            server.http("SELECT 7", headers={"Authorization": "Bearer x"}),
            server.http(body=b"SELECT 7", user="etl", password="x"),
        ):
            assert (reply.status, reply.code) == (403, 516)

    @pytest.mark.parametrize(
        ("sql", "code", "status"),
        [
            ("INSERT INTO films (id) VALUES (5)", 164, 500),
            ("DROP TABLE films", 164, 500),
            ("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", 497, 403),
        ],
    )
    def test_an_analyst_reads_only_even_by_post(self, server, sql, code, status):
        reply = server.http(body=sql.encode(), user="analyst", password="look")
        assert (reply.code, reply.status) == (code, status)

    def test_settings_of_read_only_users(self, server):
        ask = "SELECT getSetting('max_threads')"
        reply = server.http(ask, user="analyst", password="look", max_threads="3")
        assert reply.body == b"3\n"
        assert server.http(ask, user="analyst", password="look", readonly="0").code == 164
        assert server.http(ask, user="reader", password="only", max_threads="7").code == 164
        assert server.http(ask, user="reader", password="only").status == 200


def test_a_client_that_vanishes_takes_its_query_along(server, eventually):
    def running() -> int:
        sql = "SELECT count() FROM system.processes WHERE query LIKE '%vanished%'"
        return int(server.ask(sql)) - 1

    with socket.create_connection(("127.0.0.1", server.ports.http)) as wire:
        sql = b"/* vanished */ " + ENDLESS
        wire.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(sql), sql))
        eventually(lambda: running() == 1)
    eventually(lambda: running() == 0)


@pytest.mark.parametrize("head", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_stalls_is_given_up(server, eventually, head):
    with socket.create_connection(("127.0.0.1", server.ports.http), timeout=60) as wire:
        wire.sendall(
            b"POST /?http_receive_timeout=1&query=INSERT%20INTO%20films%20(id)%20FORMAT%20CSV"
            b" HTTP/1.1\r\n" + head + b"\r\n\r\n3\r\n77\n\r\n"
        )
        assert wire.recv(100) == b""  # hung up on
    spool = server.directory / "data" / "embedded" / "inserts"
    eventually(lambda: not list(spool.iterdir()))
    assert server.ask("SELECT count() FROM films WHERE id = 77") == "0"
