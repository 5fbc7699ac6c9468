"""Queries stop: cancelled, abandoned, killed, over their time; and inserts that go silent.

https://clickhouse.com/docs/native-protocol/client (Cancel),
https://clickhouse.com/docs/sql-reference/statements/kill
"""

import http.client
import socket
import threading
import uuid

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException
from clickhouse_driver.protocol import ClientPacketTypes
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str

pytestmark = pytest.mark.integration

SORTS = {
    "aggregates": "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))",
    "streams": "SELECT number FROM numbers(1000000000000)",
    "waits": "SELECT sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1",
}


@pytest.fixture
def mark():
    return f"stop {uuid.uuid4().hex}"


@pytest.fixture(params=list(SORTS))
def endless(request, mark):
    return f"/* {mark} */ {SORTS[request.param]}"


def begin(client, sql, query_id=""):
    client.execute("SELECT 1")
    client.connection.send_query(sql, query_id=query_id)
    client.connection.send_external_tables(None)


def begin_over_http(server, sql, **params):
    """Send a request whose answer nobody reads."""
    body = sql.encode()
    query = "&".join(f"{name}={value}" for name, value in params.items())
    wire = socket.create_connection(server.http, timeout=60)
    wire.sendall(
        f"POST /?{query} HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {server.admin.name}\r\n"
        f"X-ClickHouse-Key: {server.admin.password}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return wire


def test_cancel_over_native(server, endless, mark, eventually):
    client = server.client()
    begin(client, endless)
    eventually(lambda: server.running(mark) == 1)
    client.cancel()
    eventually(lambda: server.running(mark) == 0)
    assert client.execute("SELECT 1") == [(1,)]


def test_a_native_client_that_leaves(server, endless, mark, eventually):
    client = server.client()
    begin(client, endless)
    eventually(lambda: server.running(mark) == 1)
    client.disconnect()
    eventually(lambda: server.running(mark) == 0)


def test_an_http_client_that_leaves(server, endless, mark, eventually):
    wire = begin_over_http(server, endless, cancel_http_readonly_queries_on_client_close="1")
    eventually(lambda: server.running(mark) == 1)
    wire.close()
    eventually(lambda: server.running(mark) == 0)


@pytest.mark.parametrize("how", ["SYNC", "ASYNC"])
def test_kill_by_query_id_over_native(server, endless, mark, eventually, how):
    client, mine, codes = server.client(), uuid.uuid4().hex, []
    begin(client, endless, mine)

    def read():
        while (packet := client.connection.receive_packet()).exception is None:
            pass
        codes.append(packet.exception.code)

    # Meanwhile: a query whose client does not read waits for it, and SYNC for the query.
    reading = threading.Thread(target=read)
    reading.start()
    eventually(lambda: server.running(mark) == 1)
    server.ask(f"KILL QUERY WHERE query_id = '{mine}' {how}")
    reading.join(60)
    assert codes == [394]
    client.connection.is_query_executing = False
    eventually(lambda: server.running(mark) == 0)
    assert client.execute("SELECT 1") == [(1,)]


def test_kill_by_query_id_over_http(server, mark, eventually):
    mine, replies = uuid.uuid4().hex, []
    sql = f"/* {mark} */ {SORTS['aggregates']}"
    asking = threading.Thread(target=lambda: replies.append(server.request(sql, query_id=mine)))
    asking.start()
    eventually(lambda: server.running(mark) == 1)
    assert server.request("SELECT 1", query_id=mine).code == 216  # it runs
    server.ask(f"KILL QUERY WHERE query_id = '{mine}' AND user = '{server.admin.name}' SYNC")
    asking.join(60)
    assert [reply.code for reply in replies] == [394]
    assert server.request("SELECT 1", query_id=mine).status == 200


def test_a_query_over_its_time(server, native, web):
    sql = SORTS["aggregates"]
    assert server.request(sql, max_execution_time="1").code == 159
    with pytest.raises(ServerException) as stopped:
        native.execute(sql, settings={"max_execution_time": 1})
    assert stopped.value.code == 159
    assert native.execute("SELECT 1") == [(1,)]


def write_block(client, data):
    connection = client.connection
    write_varint(ClientPacketTypes.DATA, connection.fout)
    write_binary_str("", connection.fout)
    connection.fout.write(b"\x01\x00\x02\xff\xff\xff\xff\x00" + data)
    connection.fout.flush()


ONE_ROW = b"\x01\x01\x01a\x05UInt8\x01"


class TestHalfOpenInserts:
    def begin(self, client, table):
        begin(client, f"INSERT INTO {table} VALUES")
        client.receive_sample_block()
        write_block(client, ONE_ROW)

    def test_a_silent_native_client_is_given_up(self, server, table, eventually):
        server.ask(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
        silent = server.client(settings={"receive_timeout": 1})
        self.begin(silent, table)
        silent.connection.socket.settimeout(60)
        try:
            packet = silent.connection.receive_packet()
        except (EOFError, ConnectionError):
            pass  # hung up on without a word
        else:
            assert packet.exception.code == 209
        eventually(lambda: server.running(f"INSERT INTO {table}") == 0)
        server.ask(f"INSERT INTO {table} VALUES (7)")
        assert server.ask(f"SELECT a FROM {table}") == "7"

    @pytest.mark.parametrize("end", [Client.disconnect, Client.cancel], ids=["gone", "cancelled"])
    def test_a_native_client_that_ends_it_leaves_nothing(self, server, table, eventually, end):
        server.ask(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
        client = server.client()
        self.begin(client, table)
        end(client)
        eventually(lambda: server.running(f"INSERT INTO {table}") == 0)
        assert server.ask(f"SELECT count() FROM {table}") == "0"

    def test_an_http_client_that_leaves_leaves_nothing(self, server, table, eventually):
        server.ask(
            f"CREATE TABLE {server.database}.{table} (a UInt8) ENGINE = MergeTree ORDER BY a"
        )
        connection = http.client.HTTPConnection(*server.http, timeout=60)
        headers = {
            "X-ClickHouse-User": server.admin.name,
            "X-ClickHouse-Key": server.admin.password,
            "Transfer-Encoding": "chunked",
        }
        connection.putrequest(
            "POST", f"/?query=INSERT%20INTO%20{server.database}.{table}%20FORMAT%20CSV"
        )
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(b"4\r\n1\n2\n\r\n")
        server.ask(f"INSERT INTO {table} VALUES (7)")  # it holds up nobody
        connection.close()
        eventually(lambda: server.running(f"INSERT INTO {server.database}.{table}") == 0)
        assert server.ask(f"SELECT a FROM {table}") == "7"
