"""What the files render to, above all for a cluster, which no engine in a test can run."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ugc_etl.schema import Deployment, SchemaClient
from ugc_etl.schema.files import SqlFile, bootstrap, migrations, repeatables
from ugc_events import FAMILIES

CLUSTER = Deployment(
    "raw",
    "asked",
    cluster="main",
    deduplication_blocks=500,
    deduplication_s=900,
    raw_retention_days=30,
)
SINGLE = replace(CLUSTER, cluster=None)
WINDOW = "replicated_deduplication_window = 500, replicated_deduplication_window_seconds = 900"
RAW = [family.table for family in FAMILIES]
MARTS = ["viewings", "audience", "current_reactions"]
SHARDED = RAW + MARTS


def rendered(deployment: Deployment) -> list[str]:
    files = [bootstrap(), *migrations(), *repeatables()]
    return [sql for file in files for sql in file.statements(deployment)]


def creating(deployment: Deployment, table: str) -> str:
    (sql,) = [
        sql
        for sql in rendered(deployment)
        if re.match(rf"CREATE TABLE IF NOT EXISTS raw\.{table}\s", sql)
    ]
    return sql


@pytest.mark.parametrize("deployment", [SINGLE, CLUSTER], ids=["single", "cluster"])
def test_the_engine_can_parse_every_statement(engine: SchemaClient, deployment: Deployment) -> None:
    for sql in rendered(deployment):
        quoted = sql.replace("\\", "\\\\").replace("'", "\\'")
        ((formatted,),) = engine.execute(f"SELECT formatQuery('{quoted}')")
        assert ("ON CLUSTER" in formatted) == bool(deployment.cluster)


def test_on_a_cluster_every_statement_reaches_every_node() -> None:
    for sql in rendered(CLUSTER):
        assert sql.count("ON CLUSTER 'main'") == 1, sql


@pytest.mark.parametrize("table", SHARDED)
def test_on_a_cluster_a_table_is_replicated_in_its_shard_and_distributed(table: str) -> None:
    local = creating(CLUSTER, f"{table}_local")
    engine = "(Aggregating)?" if table in MARTS else ""
    path = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
    assert re.search(rf"ENGINE = Replicated{engine}MergeTree\({re.escape(path)}\)", local)
    assert WINDOW in local
    assert "non_replicated" not in local

    whole = creating(CLUSTER, table)
    assert f"AS raw.{table}_local" in whole
    # No sharding key: ClickHouse then refuses inserts here, writers must choose their shard.
    assert f"ENGINE = Distributed('main', 'raw', '{table}_local')" in whole


@pytest.mark.parametrize("table", ["films", "schema_migrations"])
def test_on_a_cluster_every_node_has_all_of_a_small_table(table: str) -> None:
    path = "'/clickhouse/tables/every_node/{database}/{table}', '{shard}-{replica}'"
    assert re.search(
        rf"ENGINE = Replicated(Replacing)?MergeTree\({re.escape(path)}", creating(CLUSTER, table)
    )


def test_on_a_cluster_marts_are_fed_within_the_node_and_views_ask_every_shard() -> None:
    for sql in rendered(CLUSTER):
        if sql.startswith("CREATE MATERIALIZED VIEW"):
            assert re.search(r"\nTO raw\.\w+_local\n", sql)
            assert re.search(r"\nFROM raw\.\w+_local\b", sql)
        elif "VIEW" in sql:
            assert "_local" not in sql.replace("local_hour", "")


@pytest.mark.parametrize("table", SHARDED)
def test_a_single_node_has_one_table_with_a_window(table: str) -> None:
    sql = creating(SINGLE, table)
    assert "MergeTree()" in sql
    assert "non_replicated_deduplication_window = 500" in sql
    assert not [sql for sql in rendered(SINGLE) if "Replicated" in sql or "_local " in sql]


def test_retention_is_rendered_only_where_there_is_one() -> None:
    assert len([sql for sql in rendered(SINGLE) if "MODIFY TTL" in sql]) == len(RAW)
    assert not [sql for sql in rendered(replace(SINGLE, raw_retention_days=None)) if "TTL" in sql]


def test_views_read_in_the_name_of_their_definer() -> None:
    for sql in rendered(replace(SINGLE, definer="owner")):
        if "VIEW" in sql:
            assert "DEFINER = `owner` SQL SECURITY DEFINER" in sql


def test_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(KeyError, match="nothing"):
        SqlFile("0001_x", 1, "SELECT $nothing;\n").statements(SINGLE)


def test_comments_and_empty_lines_are_no_statements() -> None:
    text = "-- a; b\n\nSELECT ';' AS a,\n  1;\n-- why;\nSELECT 2;\n-- the end\n"
    assert SqlFile("x", 0, text).statements(SINGLE) == ["SELECT ';' AS a,\n  1", "SELECT 2"]


def test_a_migration_is_known_by_its_text_and_a_view_by_what_it_renders_to() -> None:
    migration, view = (
        SqlFile("0001_x", 1, "SELECT $database;"),
        SqlFile("x", 0, "SELECT $database;"),
    )
    other = replace(SINGLE, database="elsewhere")
    assert migration.checksum(SINGLE) == migration.checksum(other)
    assert view.checksum(SINGLE) != view.checksum(other)
