"""What comes with a result: totals, extremes, progress, the sums at its end, formats, tables.

https://clickhouse.com/docs/native-protocol/server, https://clickhouse.com/docs/interfaces/http,
https://clickhouse.com/docs/sql-reference/statements/select/group-by#with-totals-modifier,
https://clickhouse.com/docs/engines/table-engines/special/external-data
"""

import json
import uuid

import pytest
from clickhouse_connect.driver.external import ExternalData
from clickhouse_driver.errors import ServerException
from clickhouse_driver.protocol import ServerPacketTypes

pytestmark = pytest.mark.integration

GROUPED = "SELECT number % 3 AS k, count() AS c FROM numbers(10) GROUP BY k WITH TOTALS ORDER BY k"


def packets(client, sql):
    """All packets of a query's answer, by their names."""
    connection = client.connection
    client.execute("SELECT 1")
    connection.send_query(sql)
    connection.send_external_tables(None)
    found = []
    while True:
        packet = connection.receive_packet()
        found.append((ServerPacketTypes.to_str(packet.type), packet))
        if packet.type in (ServerPacketTypes.END_OF_STREAM, ServerPacketTypes.EXCEPTION):
            connection.is_query_executing = False
            return found


def rows_of(found, name):
    return [row for kind, packet in found if kind == name for row in packet.block.get_rows()]


class TestTotalsAndExtremes:
    def test_totals_come_apart_over_native(self, server):
        found = packets(server.client(), GROUPED)
        assert rows_of(found, "Data") == [(0, 4), (1, 3), (2, 3)]
        assert rows_of(found, "Totals") == [(0, 10)]
        assert rows_of(found, "Extremes") == []

    def test_extremes_come_apart_over_native(self, server):
        sql = "SELECT number, toString(number % 7) AS s FROM numbers(1, 20)"
        found = packets(server.client(), f"{sql} SETTINGS extremes = 1")
        assert len(rows_of(found, "Data")) == 20
        assert rows_of(found, "Extremes") == [(1, "0"), (20, "6")]

    def test_both(self, server):
        found = packets(server.client(), f"{GROUPED} SETTINGS extremes = 1")
        assert rows_of(found, "Totals") == [(0, 10)]
        assert rows_of(found, "Extremes") == [(0, 3), (2, 4)]

    def test_values_that_look_like_ends_of_lines(self, server):
        sql = (
            "SELECT if(number < 9, '\\n\\n', '') AS s, '' AS e, NULL AS n, [''] AS a, count() AS c"
            " FROM numbers(3) GROUP BY s WITH TOTALS"
        )
        found = packets(server.client(), sql)
        assert rows_of(found, "Data") == [("\n\n", "", None, [""], 3)]
        assert rows_of(found, "Totals") == [("", "", None, [""], 3)]
        found = packets(server.client(), "SELECT '' AS s FROM numbers(2) GROUP BY s WITH TOTALS")
        assert (rows_of(found, "Data"), rows_of(found, "Totals")) == ([("",)], [("",)])

    def test_zones_and_dictionaries_stay_in_totals(self, server):
        sql = (
            "SELECT toLowCardinality('x') AS l, max(toDateTime(0, 'Europe/Berlin')) AS t"
            " FROM numbers(2) GROUP BY l WITH TOTALS"
        )
        [(_, at)] = rows_of(packets(server.client(), sql), "Totals")
        assert (at.timestamp(), str(at.tzinfo)) == (0, "Europe/Berlin")

    def test_a_large_result_with_totals(self, server):
        sql = "SELECT number AS k, count() AS c FROM numbers(200000) GROUP BY k WITH TOTALS"
        found = packets(server.client(), sql)
        assert len(rows_of(found, "Data")) == 200_000
        assert rows_of(found, "Totals") == [(0, 200_000)]

    def test_clickhouse_driver_puts_them_behind_the_rows(self, native):
        assert native.execute(GROUPED) == [(0, 4), (1, 3), (2, 3), (0, 10)]

    def test_over_http(self, server):
        found = json.loads(server.ask(f"{GROUPED} FORMAT JSON SETTINGS extremes = 1"))
        assert found["data"] == [{"k": 0, "c": 4}, {"k": 1, "c": 3}, {"k": 2, "c": 3}]
        assert found["totals"] == {"k": 0, "c": 10}
        assert found["extremes"] == {"min": {"k": 0, "c": 3}, "max": {"k": 2, "c": 4}}
        assert found["rows"] == 3
        assert server.ask(GROUPED) == "0\t4\n1\t3\n2\t3\n\n0\t10"
        lines = server.ask(f"{GROUPED} FORMAT JSONEachRow").splitlines()
        assert len(lines) == 3


class TestProgress:
    def test_native_progress_adds_up(self, server):
        client = server.client()
        found = packets(
            client, "SELECT sum(number) FROM numbers(20000000) SETTINGS max_threads = 1"
        )
        progress = [packet.progress for kind, packet in found if kind == "Progress"]
        assert sum(each.rows for each in progress) == 20_000_000
        assert sum(each.bytes for each in progress) == 160_000_000
        assert sum(each.total_rows for each in progress) == 20_000_000

    def test_native_progress_comes_while_the_query_runs(self, server):
        client = server.client()
        seen = [
            rows
            for rows, _ in client.execute_with_progress(
                "SELECT count() FROM numbers(60) WHERE sleepEachRow(0.01) = 0"
                " SETTINGS max_block_size = 5"
            )
        ]
        assert len(seen) > 2
        assert seen == sorted(seen)
        assert seen[-1] == 60

    def test_native_profile(self, server):
        found = packets(server.client(), "SELECT number FROM numbers(100000)")
        [profile] = [packet.profile_info for kind, packet in found if kind == "ProfileInfo"]
        assert profile.rows == 100_000
        assert profile.bytes >= 800_000
        assert profile.blocks >= 1

    def test_an_insert_reports_what_it_wrote(self, server, web, table):
        server.ask(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
        reply = server.request(f"INSERT INTO {table} FORMAT CSV", b"1\n2\n3\n")
        assert (reply.status, reply.body) == (200, b"")
        assert reply.summary["written_rows"] == 3
        assert web.insert(table, [[4], [5]]).written_rows == 2
        selected = server.request(f"INSERT INTO {table} SELECT number FROM numbers(10)")
        assert selected.summary["written_rows"] == 10

    def test_the_summary_over_http(self, server):
        reply = server.request("SELECT sum(number) FROM numbers(1000000)", wait_end_of_query="1")
        found = reply.summary
        assert (found["read_rows"], found["read_bytes"]) == (1_000_000, 8_000_000)
        assert found["result_rows"] == 1
        assert found["elapsed_ns"] > 0


class TestHeaders:
    def test_of_a_result(self, server):
        mine = uuid.uuid4().hex
        reply = server.request("SELECT 1", query_id=mine, default_format="JSONEachRow")
        assert reply.headers["X-ClickHouse-Query-Id"] == mine
        assert reply.headers["X-ClickHouse-Format"] == "JSONEachRow"
        assert reply.headers["X-ClickHouse-Timezone"] == server.ask("SELECT timezone()")
        assert reply.headers["X-ClickHouse-Server-Display-Name"]
        assert server.request("SELECT 1").headers["X-ClickHouse-Query-Id"] != mine

    def test_of_an_error(self, server):
        reply = server.request("SELECT nosuch")
        assert reply.headers["X-ClickHouse-Exception-Code"] == "47"
        assert reply.headers["Content-Type"].startswith("text/plain")

    @pytest.mark.parametrize(
        ("form", "media"),
        [
            ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
            ("TSVWithNamesAndTypes", "text/tab-separated-values; charset=UTF-8"),
            ("JSON", "application/json; charset=UTF-8"),
            ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
            ("XML", "application/xml; charset=UTF-8"),
            ("Native", "application/octet-stream"),
            ("RowBinaryWithNamesAndTypes", "application/octet-stream"),
            ("Parquet", "application/octet-stream"),
        ],
    )
    def test_media_types(self, server, form, media):
        assert server.request(f"SELECT 1 FORMAT {form}").headers["Content-Type"] == media


FORMATS = {
    "TabSeparated": "1\ta\\tb\n2\t\\N\n",
    "TSV": "1\ta\\tb\n2\t\\N\n",
    "TabSeparatedRaw": "1\ta\tb\n2\t\\N\n",
    "TabSeparatedWithNames": "n\ts\n1\ta\\tb\n2\t\\N\n",
    "TabSeparatedWithNamesAndTypes": "n\ts\nUInt8\tNullable(String)\n1\ta\\tb\n2\t\\N\n",
    "CSV": '1,"a\tb"\n2,\\N\n',
    "CSVWithNames": '"n","s"\n1,"a\tb"\n2,\\N\n',
    "CSVWithNamesAndTypes": '"n","s"\n"UInt8","Nullable(String)"\n1,"a\tb"\n2,\\N\n',
    "JSONEachRow": '{"n":1,"s":"a\\tb"}\n{"n":2,"s":null}\n',
    "JSONCompactEachRow": '[1, "a\\tb"]\n[2, null]\n',
    "JSONCompactEachRowWithNamesAndTypes": (
        '["n", "s"]\n["UInt8", "Nullable(String)"]\n[1, "a\\tb"]\n[2, null]\n'
    ),
    "Values": "(1,'a\\tb'),(2,NULL)",
    "TSKV": "n=1\ts=a\\tb\nn=2\ts=\\N\n",
    "RowBinary": "\1\0\3a\tb\2\1",
    "RowBinaryWithNamesAndTypes": "\2\1n\1s\5UInt8\x10Nullable(String)\1\0\3a\tb\2\1",
    "Native": "\2\2\1n\5UInt8\1\2\1s\x10Nullable(String)\0\1\3a\tb\0",
}


@pytest.mark.parametrize(("form", "text"), FORMATS.items())
def test_formats(server, form, text):
    """In all the ways to ask for one: also a block a row, which must show no seams."""
    sql = (
        "SELECT CAST(number + 1 AS UInt8) AS n,"
        " [CAST('a\\tb' AS Nullable(String)), NULL][n] AS s FROM numbers(2)"
    )
    for reply in (
        server.request(f"{sql} FORMAT {form}"),
        server.request(sql, default_format=form),
        server.request(sql, headers={"X-ClickHouse-Format": form}),
        server.request(f"{sql} FORMAT {form}", default_format="JSON", wait_end_of_query="1"),
    ):
        assert (reply.status, reply.body.decode()) == (200, text)
    if form != "Native":
        ones = f"{sql} SETTINGS max_block_size = 1, max_threads = 1"
        assert server.request(f"{ones} FORMAT {form}").body.decode() == text


@pytest.mark.parametrize(
    "form", ["CSVWithNames", "TSVWithNamesAndTypes", "JSONCompactEachRowWithNames"]
)
def test_names_come_without_rows_too(server, form):
    reply = server.request(f"SELECT 1 AS abc WHERE 0 FORMAT {form}")
    assert reply.body.startswith((b"abc\n", b'"abc"\n', b'["abc"]\n'))


def test_json_is_one_document(server):
    found = json.loads(server.ask("SELECT number AS n FROM numbers(100000) FORMAT JSON"))
    assert found["meta"] == [{"name": "n", "type": "UInt64"}]
    assert [row["n"] for row in found["data"][:2]] == [0, 1]
    assert (len(found["data"]), found["rows"]) == (100_000, 100_000)
    assert found["statistics"]["rows_read"] == 100_000


class TestExternalTables:
    def test_over_native(self, native):
        table = {
            "name": "ext",
            "structure": [
                ("id", "UInt32"),
                ("name", "LowCardinality(Nullable(String))"),
                ("at", "DateTime('UTC')"),
            ],
            "data": [{"id": 1, "name": "a", "at": 0}, {"id": 2, "name": None, "at": 1}],
        }
        sql = (
            "SELECT e.id, e.name, toUnixTimestamp(e.at) FROM ext AS e"
            " JOIN (SELECT toUInt32(number) AS id FROM numbers(5)) AS n USING id ORDER BY id"
        )
        assert native.execute(sql, external_tables=[table]) == [(1, "a", 0), (2, None, 1)]
        with pytest.raises(ServerException) as refusal:
            native.execute("SELECT * FROM ext")
        assert refusal.value.code == 60

    def test_several_over_native(self, native):
        tables = [
            {"name": f"e{n}", "structure": [("v", "UInt8")], "data": [{"v": n}]} for n in range(3)
        ]
        sql = "SELECT e0.v, e1.v, e2.v FROM e0, e1, e2"
        assert native.execute(sql, external_tables=tables) == [(0, 1, 2)]

    def test_over_http(self, web):
        data = ExternalData(
            file_name="films.csv",
            data=b'1,"Aelita"\n2,"Mimino"\n',
            fmt="CSV",
            structure=["id UInt32", "title String"],
        )
        data.add_file(file_name="years.tsv", data=b"1\t1924\n2\t1977\n", types="UInt32, UInt16")
        sql = "SELECT title, _2 FROM films JOIN years ON id = _1 ORDER BY id"
        assert web.query(sql, external_data=data).result_rows == [
            ("Aelita", 1924),
            ("Mimino", 1977),
        ]

    def test_a_structure_is_needed(self, server):
        head = b'--x\r\nContent-Disposition: form-data; name="ext"; filename="ext"\r\n\r\n'
        body = head + b"1\n\r\n--x--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        sql = "SELECT * FROM ext"
        assert server.request(sql, body, headers=headers).code == 36
        assert server.request(sql, body, headers=headers, ext_types="UInt8").text == "1"
        assert server.request(sql, body, headers=headers, ext_structure="a String").text == "1"

    def test_a_form_may_hold_query_and_parameters(self, server):
        web = server.connect(form_encode_query_params=True)
        text = "x'y\t\\" * 1000
        assert web.query("SELECT {a:String}", parameters={"a": text}).result_rows == [(text,)]


def test_a_query_knows_its_id_and_its_user(server, native):
    mine = uuid.uuid4().hex
    assert native.execute("SELECT queryID(), currentUser()", query_id=mine) == [
        (mine, server.admin.name)
    ]
    sql = "SELECT user, query_id FROM system.processes WHERE query_id = '{}'"
    assert native.execute(sql.format(mine), query_id=mine) == [(server.admin.name, mine)]
    analyst = server.readers["analyst"]
    assert server.request("SELECT currentUser()", user=analyst).text == "analyst"
    columns = native.execute("SELECT currentUser(), 1", with_column_types=True)[1]
    assert [name for name, _ in columns] == ["currentUser()", "1"]
