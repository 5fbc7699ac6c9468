"""Settings, parameters of queries, and what lasts from one query to the next.

https://clickhouse.com/docs/interfaces/http#using-clickhouse-sessions-in-the-http-protocol,
https://clickhouse.com/docs/interfaces/cli#cli-queries-with-parameters
"""

import datetime as dt
import threading
import uuid

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_driver.errors import ServerException

pytestmark = pytest.mark.integration

THREADS = "SELECT getSetting('max_threads')"


def test_a_setting_holds_for_its_query(server, native, web):
    assert native.execute(THREADS, settings={"max_threads": 3}) == [(3,)]
    assert native.execute(THREADS) != [(3,)]
    assert web.query(THREADS, settings={"max_threads": 3}).result_rows == [(3,)]
    assert web.query(THREADS).result_rows != [(3,)]
    assert server.request(THREADS, max_threads="3").text == "3"
    assert server.ask(f"{THREADS} SETTINGS max_threads = 4") == "4"
    # The clause of the query beats what came with it.
    assert native.execute(f"{THREADS} SETTINGS max_threads = 4", settings={"max_threads": 3}) == [
        (4,)
    ]


def test_settings_reach_inserts(server, native, web, table):
    server.ask(
        f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    for _ in range(2):
        native.execute(
            f"INSERT INTO {table} VALUES", [(1,)], settings={"insert_deduplication_token": "one"}
        )
        web.insert(table, [[2]], settings={"insert_deduplication_token": "two"})
        server.request(f"INSERT INTO {table} VALUES", b"(3)", insert_deduplication_token="three")
        server.request(
            f"INSERT INTO {table} SETTINGS insert_deduplication_token = 'four' FORMAT CSV", b"4\n"
        )
        server.ask(f"INSERT INTO {table} SETTINGS insert_deduplication_token = 'five' SELECT 5")
    assert (
        server.ask(f"SELECT groupArray(a) FROM (SELECT a FROM {table} ORDER BY a)") == "[1,2,3,4,5]"
    )


def test_unknown_settings_are_refused(server, native, table):
    with pytest.raises(ServerException) as refusal:
        native.execute("SELECT 1 SETTINGS no_such_setting = 1")
    assert refusal.value.code == 115
    with pytest.raises(ServerException) as refusal:
        native.execute("SET no_such_setting = 1")
    assert refusal.value.code == 115
    reply = server.request("SELECT 1", no_such_setting="1")
    assert (reply.code, reply.status) == (115, 404)
    server.ask(f"CREATE TABLE {table} (a UInt8) ENGINE = Memory")
    assert server.request(f"INSERT INTO {table} VALUES", b"(1)", no_such_setting="1").code == 115
    assert server.ask(f"SELECT count() FROM {table}") == "0"


def test_values_of_the_wrong_kind_are_refused(server, native):
    assert server.request("SELECT 1", max_threads="many").status >= 400
    with pytest.raises(ServerException):
        native.execute("SELECT 1", settings={"max_threads": "many"})
    assert native.execute("SELECT 1") == [(1,)]


PARAMETERS = [
    ("UInt8", "7", 7, "7"),
    ("Int64", "-9223372036854775808", -(2**63), "-9223372036854775808"),
    ("String", "it's \\\\ a\\tb", "it's \\ a\tb", "it\\'s \\\\ a\\tb"),
    ("String", "'; DROP TABLE x; --", "'; DROP TABLE x; --", "\\'; DROP TABLE x; --"),
    ("Date", "2026-11-22", dt.date(2026, 11, 22), "2026-11-22"),
    ("Array(String)", "['a','b']", ["a", "b"], "['a','b']"),
    ("Nullable(String)", "\\N", None, "\\N"),
    (
        "UUID",
        "01234567-89ab-cdef-fedc-ba9876543210",
        uuid.UUID("01234567-89ab-cdef-fedc-ba9876543210"),
        "01234567-89ab-cdef-fedc-ba9876543210",
    ),
]


@pytest.mark.parametrize(("type_name", "sent", "value", "text"), PARAMETERS)
def test_parameters(server, native, web, type_name, sent, value, text):
    sql = f"SELECT {{x:{type_name}}}"
    assert server.request(sql, param_x=sent).text == text
    assert server.request(f"{sql} FORMAT JSON", param_x=sent).status == 200
    assert web.query(sql, parameters={"x": value}).result_rows == [(value,)]
    client = server.client()
    quoted = sent.replace("\\", "\\\\").replace("'", "\\'")
    client.execute(f"SET param_x = '{quoted}'")
    assert client.execute(sql) == [(value,)]


def test_parameters_for_names_and_maps(server, table):
    server.ask(f"CREATE TABLE {table} (a UInt8) ENGINE = Memory")
    sql = "SELECT count({c:Identifier}) FROM {t:Identifier}"
    assert server.request(sql, param_t=table, param_c="a").text == "0"
    map_of = server.request("SELECT {x:Map(String, UInt8)}['k']", param_x="{'k':1}")
    assert map_of.text == "1"


def test_parameters_that_are_missing_or_wrong(server):
    assert server.request("SELECT {x:UInt8}").code == 456
    assert server.request("SELECT {x:UInt8}", param_x="many").code in (36, 457)
    assert server.request("SELECT {x:UInt8}", param_x="1, 2").code in (36, 457)


class TestNativeConnections:
    def test_set_lasts(self, server):
        one, other = server.client(), server.client()
        one.execute("SET max_threads = 5")
        assert one.execute(THREADS) == [(5,)]
        assert one.execute(THREADS, settings={"max_threads": 2}) == [(2,)]
        assert one.execute(THREADS) == [(5,)]
        assert other.execute(THREADS) != [(5,)]

    def test_use_lasts(self, server):
        client = server.client()
        client.execute("USE system")
        assert client.execute("SELECT currentDatabase()") == [("system",)]
        assert client.execute("SELECT count() FROM one") == [(1,)]
        with pytest.raises(ServerException) as refusal:
            client.execute("USE no_such_database")
        assert refusal.value.code == 81
        assert client.execute("SELECT currentDatabase()") == [("system",)]

    def test_temporary_tables_last_and_are_the_connections_own(self, server):
        one, other = server.client(), server.client()
        one.execute("CREATE TEMPORARY TABLE scratch (a UInt8, s LowCardinality(String))")
        one.execute("SET max_threads = 3")
        one.execute("INSERT INTO scratch VALUES", [(1, "x"), (2, "y")])
        one.execute("INSERT INTO scratch SELECT 3, 'z'")
        assert one.execute("SELECT * FROM scratch ORDER BY a") == [(1, "x"), (2, "y"), (3, "z")]
        assert one.execute(
            "SELECT getSetting('max_block_size')", settings={"max_block_size": 77}
        ) == [(77,)]
        assert one.execute("SELECT getSetting('max_block_size') = 77") == [(0,)]
        assert one.execute(THREADS) == [(3,)]
        with pytest.raises(ServerException) as refusal:
            other.execute("SELECT * FROM scratch")
        assert refusal.value.code == 60
        one.disconnect()
        with pytest.raises(ServerException) as refusal:
            one.execute("SELECT * FROM scratch")
        assert refusal.value.code == 60

    def test_a_temporary_table_hides_one_of_the_database(self, server, table):
        server.ask(f"CREATE TABLE {table} ENGINE = Memory AS SELECT 1 AS a")
        client = server.client()
        client.execute(f"CREATE TEMPORARY TABLE {table} (a UInt8)")
        assert client.execute(f"SELECT count() FROM {table}") == [(0,)]
        client.execute(f"DROP TEMPORARY TABLE {table}")
        assert client.execute(f"SELECT count() FROM {table}") == [(1,)]


class TestHttpSessions:
    def test_requests_without_one_know_nothing_of_each_other(self, server):
        assert server.request("CREATE TEMPORARY TABLE scratch (a UInt8)").status == 200
        assert server.request("SELECT * FROM scratch").code == 60
        server.request("SET max_threads = 5")
        assert server.ask(THREADS) != "5"

    def test_a_session_keeps_settings_database_and_tables(self, server):
        mine = {"session_id": uuid.uuid4().hex}
        assert server.request("SET max_threads = 5", **mine).status == 200
        assert server.request("CREATE TEMPORARY TABLE scratch (a UInt8)", **mine).status == 200
        assert server.request("INSERT INTO scratch VALUES (1), (2)", **mine).status == 200
        assert server.request("INSERT INTO scratch FORMAT CSV", b"3\n4\n", **mine).status == 200
        assert server.request("SELECT sum(a) FROM scratch", **mine).text == "10"
        assert server.request("SELECT sum(a) FROM scratch FORMAT JSONCompact", **mine).status == 200
        assert server.request(THREADS, **mine).text == "5"
        assert server.request(THREADS, max_threads="2", **mine).text == "2"
        assert server.request(THREADS, **mine).text == "5"
        assert server.request("SELECT * FROM scratch", session_id=uuid.uuid4().hex).code == 60

    def test_session_check_wants_one_that_exists(self, server):
        name = uuid.uuid4().hex
        assert server.request("SELECT 1", session_id=name, session_check="1").code == 372
        assert server.request("SELECT 1", session_id=name).status == 200
        assert server.request("SELECT 1", session_id=name, session_check="1").status == 200

    def test_a_session_ends_when_it_is_idle(self, server):
        name = uuid.uuid4().hex
        mine = {"session_id": name, "session_timeout": "1"}
        server.request("CREATE TEMPORARY TABLE scratch (a UInt8)", **mine)
        threading.Event().wait(3)  # and no look, which would prolong it
        assert server.request("SELECT 1", session_check="1", **mine).code == 372

    def test_a_time_out_has_a_limit(self, server):
        assert server.request("SELECT 1", session_id="x", session_timeout="100000").code == 374

    def test_one_query_at_a_time(self, server, eventually):
        name = uuid.uuid4().hex
        mark = f"locked {name}"
        slow = (
            f"/* {mark} */ SELECT count() FROM numbers(1000) WHERE sleepEachRow(0.1) = 0"
            " SETTINGS max_block_size = 1"
        )
        asking = threading.Thread(target=server.request, args=(slow,), kwargs={"session_id": name})
        asking.start()
        try:
            eventually(lambda: server.running(mark) == 1)
            assert server.request("SELECT 1", session_id=name).code == 373
        finally:
            server.ask(f"KILL QUERY WHERE query LIKE '%{mark}%' AND query NOT LIKE 'KILL%' SYNC")
            asking.join(60)
        assert server.request("SELECT 1", session_id=name).status == 200

    def test_a_session_belongs_to_its_user(self, server):
        name = uuid.uuid4().hex
        server.request("CREATE TEMPORARY TABLE scratch (a UInt8)", session_id=name)
        from_another = {"session_id": name, "session_check": "1"}
        assert (
            server.request("SELECT 1", user=server.readers["analyst"], **from_another).code == 372
        )

    def test_clickhouse_connect_uses_one(self, server):
        web = server.connect(autogenerate_session_id=True)
        web.command("CREATE TEMPORARY TABLE scratch (a UInt8)")
        web.insert("scratch", [[1], [2]], database="")
        assert web.query("SELECT sum(a) FROM scratch").result_rows == [(3,)]
        with pytest.raises(DatabaseError):
            server.connect(autogenerate_session_id=True).query("SELECT * FROM scratch")
