"""The native protocol, as clickhouse-driver speaks it."""

import datetime as dt
import threading
import uuid
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from zoneinfo import ZoneInfo

import pytest
from clickhouse_driver.errors import PartiallyConsumedQueryError, ServerException

pytestmark = pytest.mark.integration

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")
# So the failing block is far behind the first one.
ONE_BY_ONE = "SETTINGS max_threads = 1, max_block_size = 1000"

VALUES = [
    ("UInt8", [0, 255]),
    ("Int64", [-(2**63), 2**63 - 1]),
    ("UInt256", [0, 2**256 - 1]),
    ("Float64", [0.5, -1e300]),
    ("String", ["", "x" * 300]),
    ("FixedString(3)", ["abc", "äx"]),
    ("Bool", [True, False]),
    ("UUID", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 7)]),
    ("Date", [dt.date(1970, 1, 2), dt.date(2100, 1, 1)]),
    ("DateTime('Europe/Berlin')", [dt.datetime(2026, 7, 1, 2, tzinfo=UTC).astimezone(BERLIN)]),
    ("DateTime64(3, 'UTC')", [dt.datetime(2026, 1, 1, 1, 1, 1, 5000, tzinfo=UTC)]),
    ("Decimal(18, 3)", [Decimal("1.125"), Decimal("-99.500")]),
    ("Enum8('a' = 1, 'b' = 2)", ["a", "b"]),
    ("IPv4", [IPv4Address("10.0.0.1")]),
    ("IPv6", [IPv6Address("::1")]),
    ("Nullable(String)", [None, "", "x"]),
    ("LowCardinality(String)", ["a", "b", "a"]),
    ("LowCardinality(Nullable(String))", [None, "b"]),
    ("Array(Array(String))", [[], [[]], [["a"], ["b", "c"]]]),
    ("Array(LowCardinality(String))", [[], ["a", "a"]]),
    ("Map(String, UInt32)", [{}, {"a": 1, "b": 2}]),
    ("Map(LowCardinality(String), Array(UInt8))", [{"a": [1]}, {}]),
    ("Tuple(UInt8, Nullable(String))", [(1, None), (2, "x")]),
]


@pytest.mark.parametrize("compression", [False, True], ids=["plain", "lz4"])
@pytest.mark.parametrize(("type_name", "values"), VALUES, ids=[name for name, _ in VALUES])
def test_values_survive_the_way_in_and_out(server, type_name, values, compression):
    with server.client(compression=compression) as client:
        client.execute("DROP TABLE IF EXISTS trip")
        client.execute(f"CREATE TABLE trip (n UInt32, v {type_name}) ENGINE = MergeTree ORDER BY n")
        rows = list(enumerate(values))
        assert client.execute("INSERT INTO trip VALUES", rows) == len(rows)
        found, columns = client.execute("SELECT * FROM trip ORDER BY n", with_column_types=True)
        assert found == rows
        assert columns == [("n", "UInt32"), ("v", type_name)]


@pytest.mark.parametrize("compression", [False, True], ids=["plain", "lz4"])
def test_large_results_and_inserts(server, compression):
    with server.client(compression=compression) as client:
        client.execute("CREATE OR REPLACE TABLE big (n UInt64, s String) ENGINE = Memory")
        text = "y" * 200
        columns = [list(range(100_000)), [text] * 100_000]
        client.execute("INSERT INTO big VALUES", columns, columnar=True)
        found = client.execute("SELECT n, s FROM big ORDER BY n", columnar=True)
        assert found == [tuple(column) for column in columns]
        assert client.last_query.progress.rows == 100_000
        assert client.last_query.profile_info.rows == 100_000


def test_headers_of_empty_results(client):
    sql = "SELECT 1 AS a, CAST('x', 'LowCardinality(String)') AS b WHERE 0 -- end"
    found = client.execute(sql, with_column_types=True)
    assert found == ([], [("a", "UInt8"), ("b", "LowCardinality(String)")])
    sql = "WITH 1 AS x SELECT groupBitmapState(toUInt32(x)) AS s FORMAT JSON SETTINGS max_threads=1"
    with pytest.raises(Exception, match="Unknown type AggregateFunction"):
        client.execute(sql)  # it arrives; clickhouse-driver cannot read such a state
    sql = "SELECT groupBitmapState(toUInt32(1)) AS s WHERE 0 GROUP BY 'x'"
    assert client.execute(sql, with_column_types=True)[1] == [
        ("s", "AggregateFunction(groupBitmap, UInt32)")
    ]


def test_time_zones_of_results(client):
    berlin = "toDateTime(0, 'Europe/Berlin')"
    low = "CAST('a', 'LowCardinality(String)')"
    sql = f"SELECT {low} AS x, {berlin} AS y, 'z' AS z, {berlin} AS w, 1 AS v FROM numbers(3)"
    rows, columns = client.execute(sql, with_column_types=True)
    at = dt.datetime(1970, 1, 1, tzinfo=UTC)
    assert rows == [("a", at, "z", at, 1)] * 3
    assert rows[0][1].utcoffset() == dt.timedelta(hours=1)
    assert columns[1] == ("y", "DateTime('Europe/Berlin')")


def test_statements_without_streams(client):
    client.execute("CREATE OR REPLACE TABLE plain (a UInt8) ENGINE = MergeTree ORDER BY a")
    assert ("plain",) in client.execute("SHOW TABLES")
    assert client.execute("EXISTS plain") == [(1,)]
    assert client.execute("DESCRIBE plain", with_column_types=True)[1][0] == ("name", "String")
    assert client.execute("EXPLAIN SELECT 1")
    assert client.execute("INSERT INTO plain SELECT number FROM numbers(5)") == []
    assert client.execute("INSERT INTO plain VALUES (7), (8)") == []
    assert client.execute("SELECT sum(a) FROM plain") == [(25,)]
    client.execute("ALTER TABLE plain DELETE WHERE a > 5", settings={"mutations_sync": 1})
    assert client.execute("SELECT count() FROM plain") == [(5,)]


def test_the_columns_of_an_insert(client):
    client.execute(
        "CREATE OR REPLACE TABLE kinds (a UInt8, `b c` String DEFAULT 'd', m UInt8 MATERIALIZED a,"
        " l UInt8 ALIAS a, e UInt8 EPHEMERAL 3, f UInt8 DEFAULT e) ENGINE = MergeTree ORDER BY a"
    )
    client.execute("INSERT INTO kinds VALUES", [{"a": 1, "b c": "x", "f": 9}])
    client.execute("INSERT INTO kinds (`b c`, a) VALUES", [("y", 2)])
    client.execute("INSERT INTO default.kinds (e, a) VALUES", [(5, 3)])
    found = client.execute("SELECT a, `b c`, m, f FROM kinds ORDER BY a")
    assert found == [(1, "x", 1, 9), (2, "y", 2, 3), (3, "d", 3, 5)]
    for sql, code in (
        ("INSERT INTO kinds (nosuch) VALUES", 16),
        ("INSERT INTO nosuch VALUES", 60),
    ):
        with pytest.raises(ServerException) as refusal:
            client.execute(sql, [(1,)])
        assert refusal.value.code == code


def test_a_token_makes_an_insert_exactly_once_in_table_and_view(client):
    window = "SETTINGS non_replicated_deduplication_window = 1000"
    client.execute(f"CREATE TABLE once (a UInt64) ENGINE = MergeTree ORDER BY a {window}")
    client.execute(f"CREATE TABLE mart (s UInt64) ENGINE = MergeTree ORDER BY s {window}")
    client.execute("CREATE MATERIALIZED VIEW feed TO mart AS SELECT sum(a) AS s FROM once")
    for token, rows in (("t:1", [1, 2]), ("t:1", [1, 2]), ("t:1", [9]), ("t'2\\", [1, 2])):
        client.execute(
            "INSERT INTO once VALUES",
            [(row,) for row in rows],
            settings={
                "insert_deduplication_token": token,
                "deduplicate_blocks_in_dependent_materialized_views": 1,
            },
        )
    assert client.execute("SELECT count(), sum(a) FROM once") == [(4, 6)]  # token beats content
    assert client.execute("SELECT count(), sum(s) FROM mart") == [(2, 6)]
    clause = "INSERT INTO once SETTINGS insert_deduplication_token = 't:1' VALUES"
    client.execute(clause, [(77,)])
    assert client.execute("SELECT count() FROM once") == [(4,)]


def test_settings_hold_for_one_query(client):
    ask = "SELECT getSetting('max_threads')"
    assert client.execute(ask, settings={"max_threads": 3}) == [(3,)]
    assert client.execute(ask) != [(3,)]
    client.execute("CREATE OR REPLACE TABLE settled (a UInt8) ENGINE = Memory")
    for sql, rows in (("SELECT 1", None), ("INSERT INTO settled VALUES", [(1,)])):
        for name in ("no_such_setting", "x = 1, max_threads"):
            with pytest.raises(ServerException) as refusal:
                client.execute(sql, rows, settings={name: 1})
            assert refusal.value.code == 115
    with pytest.raises(ServerException, match="Limit for result"):
        client.execute(
            "SELECT number FROM numbers(100)",
            settings={"max_result_rows": 10, "max_block_size": 10},
        )
    assert client.execute("SELECT count() FROM settled") == [(0,)]


def test_set_and_use_last_for_the_connection(server, client):
    client.execute("CREATE DATABASE IF NOT EXISTS `odd name`")
    client.execute("SET max_threads = 5, log_comment = 'mine'")
    client.execute("USE `odd name`")
    assert client.execute("SELECT getSetting('max_threads'), currentDatabase()") == [
        (5, "odd name")
    ]
    with server.client() as other:
        assert other.execute("SELECT currentDatabase()") == [("default",)]
    with server.client(database="odd name") as other:
        assert other.execute("SELECT currentDatabase()") == [("odd name",)]
    with server.client(database="nosuch") as other:
        with pytest.raises(ServerException) as refusal:
            other.execute("SELECT 1")
        assert refusal.value.code == 81


def test_exceptions_leave_the_connection_usable(server):
    with server.client() as client:
        client.execute("CREATE OR REPLACE TABLE fine (a UInt8) ENGINE = Memory")
        connection = client.connection
        sock = connection.socket
        for sql, code in (
            ("SELECT * FROM nosuch", 60),
            ("SELECT nosuch", 47),
            ("SELEC 1 1", 62),
            ("SELECT 1; SELECT 2", 62),
            ("SELECT 1 INTO OUTFILE 'x'", 48),
            ("SELECT throwIf(number = 300000) FROM numbers(400000) " + ONE_BY_ONE, 395),
            ("INSERT INTO nosuch VALUES", 60),
        ):
            connection.send_query(sql)
            connection.send_external_tables(None)
            packets = 0
            while (packet := connection.receive_packet()).exception is None:
                packets += 1
            assert packet.exception.code == code, sql
            assert packet.exception.message.startswith("DB::Exception: ")
            assert packets > 3 or code != 395  # it came in the middle of the result
            connection.is_query_executing = False
        assert connection.ping()
        assert client.execute("SELECT 1") == [(1,)]
        assert connection.socket is sock


def test_a_failing_insert_is_reported_after_its_data(server):
    with server.client() as client:
        client.execute(
            "CREATE OR REPLACE TABLE picky (a UInt8, CONSTRAINT small CHECK a < 10)"
            " ENGINE = MergeTree ORDER BY a"
        )
        with pytest.raises(ServerException) as refusal:
            client.execute("INSERT INTO picky VALUES", [(1,), (50,)])
        assert refusal.value.code == 469
        assert client.execute("SELECT count() FROM picky") == [(0,)]
        client.execute(
            "CREATE MATERIALIZED VIEW strict ENGINE = Memory"
            " AS SELECT throwIf(a = 7) AS b FROM picky"
        )
        with pytest.raises(ServerException) as refusal:
            client.execute("INSERT INTO picky VALUES", [(7,)])
        assert refusal.value.code == 395
        assert client.execute("INSERT INTO picky VALUES", [(8,)]) == 1
        reply = server.http("INSERT INTO picky FORMAT CSV", b"50\n")
        assert (reply.status, reply.code) == (500, 469)


@pytest.mark.parametrize("type_name", ["AggregateFunction(sum, UInt8)", "JSON", "Dynamic"])
def test_columns_that_cannot_be_passed_on_are_refused_before_data(client, type_name):
    client.execute(f"CREATE OR REPLACE TABLE opaque (a {type_name}) ENGINE = Memory")
    with pytest.raises(ServerException, match="cannot pass on") as refusal:
        client.execute("INSERT INTO opaque VALUES", [(1,)])
    assert refusal.value.code == 48


def test_external_tables(client):
    table = {
        "name": "ext",
        "structure": [("x", "String"), ("l", "LowCardinality(Nullable(String))")],
        "data": [{"x": "a", "l": None}, {"x": "b", "l": "c"}],
    }
    sql = "SELECT x, l FROM ext ORDER BY x"
    assert client.execute(sql, external_tables=[table]) == [("a", None), ("b", "c")]
    with pytest.raises(ServerException) as refusal:
        client.execute(sql)  # it came for one query
    assert refusal.value.code == 60


@pytest.mark.parametrize("compression", [False, True], ids=["plain", "lz4"])
def test_ready_made_native_bytes(server, compression, write_native_block):
    """Bytes that the engine made go in unchanged, in two blocks."""
    structure = (
        "u UUID, t DateTime64(3), s String, l LowCardinality(Nullable(String)),"
        " m Map(LowCardinality(String), Array(Nullable(UInt32))), n Nullable(Decimal(38, 4))"
    )
    source = f"SELECT * FROM generateRandom('{structure}', 5, 9, 6) LIMIT 3000"
    blocks = [
        server.http(body=f"{source} OFFSET {offset} FORMAT Native".encode(), max_threads="1").body
        for offset in (0, 3000)
    ]
    with server.client(compression=compression) as client:
        client.execute(f"CREATE OR REPLACE TABLE ready ({structure}) ENGINE = Memory")
        client.connection.send_query("INSERT INTO ready VALUES")
        client.connection.send_external_tables(None)
        assert len(client.receive_sample_block().columns_with_types) == 6
        for block in blocks:
            write_native_block(client, block)
        write_native_block(client, b"\0\0")
        client.receive_end_of_insert_query()
        client.connection.is_query_executing = False
        digest = "SELECT count(), sum(cityHash64(*)) FROM "
        wanted = client.execute(
            digest + f"(SELECT * FROM ({source}) UNION ALL SELECT * FROM ({source} OFFSET 3000))"
        )
        assert client.execute(digest + "ready") == wanted
        assert wanted[0][0] == 6000


def test_a_block_that_cannot_be_read_ends_the_connection_not_the_server(
    server, client, write_native_block
):
    client.execute("CREATE OR REPLACE TABLE whole (a UInt8) ENGINE = Memory")
    with server.client() as other:
        other.execute("SELECT 1")
        other.connection.send_query("INSERT INTO whole VALUES")
        other.connection.send_external_tables(None)
        other.receive_sample_block()
        write_native_block(other, b"\x01\x01\x01a\x07Dynamic\x00")
        packet = other.connection.receive_packet()
        assert packet.exception.code == 48
        with pytest.raises(EOFError):
            other.connection.receive_packet()
    assert client.execute("SELECT count() FROM whole") == [(0,)]


def test_writers_and_readers_at_once(server, client):
    client.execute("CREATE OR REPLACE TABLE busy (w UInt8, n UInt64) ENGINE = MergeTree ORDER BY n")
    batches, size = 15, 2000
    failures: list[BaseException] = []
    seen: list[int] = []

    def guarded(work, *arguments):
        def run():
            try:
                with server.client() as mine:
                    work(mine, *arguments)
            except BaseException as error:
                failures.append(error)
                raise

        return threading.Thread(target=run)

    def write(mine, writer):
        for batch in range(batches):
            rows = [[writer] * size, list(range(batch * size, (batch + 1) * size))]
            mine.execute("INSERT INTO busy VALUES", rows, columnar=True)

    def read(mine):
        for _ in range(25):
            count, distinct = mine.execute("SELECT count(), uniqExact(w, n) FROM busy")[0]
            assert count == distinct
            assert count % size == 0  # an INSERT is seen whole or not at all
            seen.append(count)

    threads = [guarded(write, 1), guarded(write, 2), guarded(read), guarded(read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert len(seen) == 50
    found = client.execute("SELECT w, count(), sum(n) FROM busy GROUP BY w ORDER BY w")
    total = batches * size
    assert found == [(w, total, total * (total - 1) // 2) for w in (1, 2)]


def test_partly_read_results_are_the_clients_own_business(client):
    rows = client.execute_iter("SELECT number FROM numbers(1000000)")
    assert next(rows) == (0,)
    with pytest.raises(PartiallyConsumedQueryError):
        client.execute("SELECT 1")
    assert client.execute("SELECT 1") == [(1,)]
