"""What ends a query or an INSERT of the native protocol, and what it leaves."""

import socket
import threading

import pytest
from clickhouse_driver.errors import ServerException

pytestmark = pytest.mark.integration

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"


def running(server, mark):
    return int(server.ask(f"SELECT count() FROM system.processes WHERE query LIKE '%{mark}%'")) - 1


class TestStopping:
    @pytest.mark.parametrize("sql", [ENDLESS, "SELECT number FROM numbers(1000000000000)"])
    def test_cancel_stops_the_query_and_keeps_the_connection(self, server, eventually, sql):
        with server.client() as client:
            client.execute("SELECT 1")
            client.connection.send_query(f"/* cancelled */ {sql}")
            client.connection.send_external_tables(None)
            eventually(lambda: running(server, "cancelled") == 1)
            client.cancel()
            eventually(lambda: running(server, "cancelled") == 0)
            assert client.execute("SELECT 1") == [(1,)]

    def test_cancel_at_any_moment(self, server):
        """Also between the statements that the server runs for one query."""
        with server.client() as client:
            client.execute("SELECT 1")
            client.connection.socket.settimeout(60)
            for delay_ms in range(0, 20, 2):
                client.connection.send_query(ENDLESS)
                client.connection.send_external_tables(None)
                threading.Event().wait(delay_ms / 1000)
                client.cancel()
                client.connection.is_query_executing = False
            assert client.execute("SELECT 1") == [(1,)]

    @pytest.mark.parametrize(
        "sql",
        [
            ENDLESS,
            "SELECT number FROM numbers(1000000000000)",
            "INSERT INTO FUNCTION null('n UInt64') " + ENDLESS,
        ],
    )
    def test_a_client_that_vanishes_takes_its_query_along(self, server, eventually, sql):
        with server.client() as client:
            client.execute("SELECT 1")
            client.connection.send_query(f"/* vanished */ {sql}")
            client.connection.send_external_tables(None)
            eventually(lambda: running(server, "vanished") == 1)
        eventually(lambda: running(server, "vanished") == 0)

    def test_a_query_id_is_seen_and_taken_once(self, server, eventually):
        with server.client() as client, server.client() as second:
            client.execute("SELECT 1")
            client.connection.send_query(ENDLESS, query_id="the-one")
            client.connection.send_external_tables(None)
            where = "query_id = 'the-one'"
            count = f"SELECT count() FROM system.processes WHERE {where}"
            eventually(lambda: server.ask(count) == "1")
            with pytest.raises(ServerException) as refusal:
                second.execute("SELECT 1", query_id="the-one")
            assert refusal.value.code == 216
            second.execute(f"KILL QUERY WHERE {where}")
            while (packet := client.connection.receive_packet()).exception is None:
                pass
            assert packet.exception.code == 394

    def test_an_insert_left_half_open_is_given_up(self, server, client, write_native_block):
        client.execute("CREATE OR REPLACE TABLE waiting (a UInt8) ENGINE = MergeTree ORDER BY a")
        with server.client(settings={"receive_timeout": 1}) as silent:
            silent.execute("SELECT 1")
            silent.connection.send_query("INSERT INTO waiting VALUES")
            silent.connection.send_external_tables(None)
            silent.receive_sample_block()
            write_native_block(silent, b"\x01\x01\x01a\x05UInt8\x01")
            silent.connection.socket.settimeout(60)
            with pytest.raises((EOFError, ConnectionError)):
                silent.connection.receive_packet()
        client.execute("DROP TABLE waiting SYNC")

    def test_a_client_that_leaves_in_mid_insert_leaves_nothing(
        self, server, client, eventually, write_native_block
    ):
        client.execute("CREATE OR REPLACE TABLE left (a UInt8) ENGINE = MergeTree ORDER BY a")
        with server.client() as leaver:
            leaver.execute("SELECT 1")
            leaver.connection.send_query("INSERT INTO left VALUES")
            leaver.connection.send_external_tables(None)
            leaver.receive_sample_block()
            write_native_block(leaver, b"\x01\x01\x01a\x05UInt8\x01")
        eventually(lambda: running(server, "INSERT INTO left") == 0)
        assert client.execute("SELECT count() FROM left") == [(0,)]

    def test_garbage_does_not_hurt(self, server):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 40, b"\x00\x03abc", b""):
            with socket.create_connection(("127.0.0.1", server.ports.native), timeout=60) as wire:
                wire.sendall(garbage)
                wire.shutdown(socket.SHUT_WR)
                assert wire.recv(100) == b""
        assert server.ask("SELECT 1") == "1"
