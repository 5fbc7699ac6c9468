"""What the tools of analysts ask when they connect and look around.

Drivers: clickhouse-jdbc 0.9 (DBeaver, DataGrip, Metabase), clickhouse-go 2 (Grafana),
clickhouse-connect with SQLAlchemy (Superset). The drivers' handshakes are as in their public code,
the tools' own queries of the kinds they send; each with the format that it reads, as a user who
may only read.
"""

import json

import pytest
from ugc_local.clickhouse.native_block import from_revision, split_blocks

pytestmark = pytest.mark.integration

JDBC = [
    "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1",
    "SELECT 1",
    "SHOW DATABASES",
    "SELECT name AS TABLE_SCHEM, null AS TABLE_CATALOG"
    " FROM system.databases WHERE name LIKE '%' ORDER BY name",
    "SELECT name AS TABLE_CAT FROM system.databases ORDER BY name",
    "SELECT t.database AS TABLE_SCHEM, t.name AS TABLE_NAME, t.engine, t.comment AS REMARKS,"
    " t.is_temporary"
    " FROM system.tables AS t JOIN system.databases AS d ON t.database = d.name"
    " WHERE t.database LIKE '%' ORDER BY 1, 2",
    "SELECT database, table, name, type, position, default_kind, default_expression, comment,"
    " is_in_primary_key"
    " FROM system.columns"
    " WHERE database LIKE '%' AND table LIKE 'films' ORDER BY database, table, position",
    "SELECT name, case_insensitive, alias_to FROM system.data_type_families ORDER BY name",
    "SELECT name, is_aggregate, origin FROM system.functions ORDER BY name",
    "SELECT name, value, changed, description, type, readonly FROM system.settings",
    "SELECT name FROM system.table_engines",
    "SELECT name, expr, type FROM system.data_skipping_indices",
    "SELECT partition, name, rows, bytes_on_disk FROM system.parts WHERE active",
    "SELECT * FROM system.processes",
    "SELECT * FROM system.dictionaries",
    "SELECT * FROM system.mutations",
    "SELECT * FROM system.clusters",
    "DESCRIBE TABLE system.one",
    "EXISTS TABLE system.one",
    "EXPLAIN SELECT 1",
    "EXPLAIN PIPELINE SELECT 1",
    "SELECT getSetting('readonly'), hostName(), uptime() >= 0",
]
GO = [
    "SELECT displayName(), version(), revision(), timezone()",
    "SELECT 1",
    "SELECT name FROM system.databases",
    "SELECT name FROM system.tables WHERE database = 'system'",
    "SELECT name, type FROM system.columns WHERE database = 'system' AND table = 'one'",
    "DESC TABLE system.one",
    "SELECT toStartOfInterval(toDateTime(0, 'UTC'), INTERVAL 60 second) AS time, count() AS c"
    " FROM numbers(10) GROUP BY time ORDER BY time",
]


@pytest.mark.parametrize("sql", JDBC)
def test_jdbc(server, sql):
    """It names a database and a format in the URL."""
    reply = server.request(
        sql,
        user=server.readers["analyst"],
        default_format="RowBinaryWithNamesAndTypes",
    )
    assert reply.status == 200, reply.body
    assert reply.headers["X-ClickHouse-Format"] == "RowBinaryWithNamesAndTypes"
    assert reply.body[:1] != b"\0"  # it has columns


@pytest.mark.parametrize("revision", ["54405", "54460"])
@pytest.mark.parametrize("sql", GO)
def test_go_over_http(server, sql, revision):
    """It reads Native as its revision of the native protocol has it, packed."""
    reply = server.request(
        sql,
        user=server.readers["analyst"],
        default_format="Native",
        client_protocol_version=revision,
    )
    assert reply.status == 200, reply.body
    [block, *_] = from_revision([reply.body], int(revision))
    [(shape, _), *_] = split_blocks(block)
    assert shape.rows >= 1


def test_go_inserts_over_http(server, table):
    server.ask(f"CREATE TABLE {table} (a UInt8, s String) ENGINE = Memory")
    for revision in ("54405", "54460"):
        select = server.request(
            "SELECT CAST(7 AS UInt8) AS a, 'x' AS s FORMAT Native", client_protocol_version=revision
        )
        put = server.request(
            f"INSERT INTO {table} FORMAT Native", select.body, client_protocol_version=revision
        )
        assert put.status == 200, put.body
    assert server.ask(f"SELECT * FROM {table}") == "7\tx\n7\tx"


def test_superset(server, table):
    server.ask(f"CREATE TABLE {table} (a UInt8, at DateTime('Europe/Berlin')) ENGINE = Memory")
    web = server.connect(server.readers["analyst"])
    assert server.database in web.command("SHOW DATABASES")
    assert table in web.command(f"SHOW TABLES FROM {server.database}")
    assert web.command(f"EXISTS TABLE {server.database}.{table}") == 1
    rows = web.query(f"DESCRIBE TABLE {server.database}.{table}").result_rows
    assert f".{table}" in web.command(f"SHOW CREATE TABLE {table}")
    assert [row[:2] for row in rows] == [("a", "UInt8"), ("at", "DateTime('Europe/Berlin')")]
    assert web.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("a", "at")


def test_grafanas_json(server):
    reply = server.request(
        "SELECT 1 AS a FORMAT JSON", user=server.readers["analyst"], method="GET"
    )
    assert json.loads(reply.body)["data"] == [{"a": 1}]
