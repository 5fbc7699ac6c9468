"""What the chart of ClickHouse renders, run: the engine with its configuration and its users."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
import zookeeper
from clickhouse_engine import Engine, configure
from rendering import CHARTS, Helm
from test_clickhouse import CHART, SCENARIOS, USERS
from ugc_etl.operations.marts import VIEWINGS, delete, rebuild
from ugc_etl.schema import Deployment, ServerRefused, current_version, migrate, required_version
from ugc_etl.schema.files import bootstrap, migrations, repeatables

ACCESS_DENIED, READONLY, QUOTA, CONSTRAINT, PROHIBITED = 497, 164, 201, 452, 392
NOBODY_THERE = (198, 210, 279, 519)
TOO_MANY_ROWS, REPLICA_THERE, COLUMNS_DIFFER, NO_WRITES = 396, 253, 122, 242
# Views read in the name of the user that the ETL is.
SINGLE = Deployment(definer="etl")
CLUSTER = Deployment(cluster="ugc", definer="etl")
FILM = "00000000-0000-4000-8000-000000000001"
TOPIC = "00000000-0000-4000-8000-000000000002"

Start = Callable[..., Engine]


@pytest.fixture
def start(helm: Helm, tmp_path: Path) -> Iterator[Start]:
    """Starts engines with a rendered configuration; each that is started ends with the test."""
    engines: list[Engine] = []

    def start(
        user: str,
        scenario: str = "least",
        *,
        data: str = "data",
        more: dict[str, Any] | None = None,
        keeper_port: int = 1,
        **place: Any,
    ) -> Engine:
        rendered = helm.render(CHART, scenario, more={"server.logLevel": "error"} | (more or {}))
        folder = tmp_path / f"engine-{len(engines)}"
        config = configure(
            rendered, folder, user=user, data=tmp_path / data, keeper_port=keeper_port
        )
        engines.append(Engine(config, tmp_path / data, **place))
        return engines[-1]

    yield start
    for engine in engines:
        engine.kill()


def refused(engine: Engine, sql: str) -> int:
    """The code that a statement is refused with."""
    with pytest.raises(ServerRefused) as refusal:
        engine.execute(sql)
    return refusal.value.code


def fill(engine: Engine, deployment: Deployment) -> None:
    engine.execute(
        f"INSERT INTO ugc.films (content_id, title, duration_ms) SELECT '{FILM}', 'Solaris', 600000"
    )
    engine.execute(
        f"INSERT INTO {deployment.local('views')} (type, content_id, viewer, occurred_at, "
        "duration_ms, position_ms, _topic_id, _partition, _offset, _timestamp, _insert_by) "
        f"SELECT 'view_progress', '{FILM}', 7, '2026-01-01 20:00:00', 600000, number * 60000,"
        f" '{TOPIC}', 0, number, now64(3), now() + 60 FROM numbers(10)"
    )


@pytest.mark.proves(
    "ClickHouse: the engine loads each scenario's configuration and users", by="running"
)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_engine_loads_the_configuration(start: Start, scenario: str) -> None:
    engine = start("admin", scenario, pod="ugc-clickhouse-shard-1-2", shard=1)
    assert engine.execute("SELECT macro, substitution FROM system.macros ORDER BY 1") == [
        ("cluster", "ugc"), ("replica", "ugc-clickhouse-shard-1-2"), ("shard", "1"),
    ]  # fmt: skip
    shards, replicas = {"production": (2, 3), "kind": (1, 1)}.get(scenario, (1, 2))
    port = 9440 if scenario in ("production", "plain") else 9000
    assert engine.execute(
        "SELECT shard_num, replica_num, host_name, port, user FROM system.clusters"
        " WHERE cluster = 'ugc' ORDER BY 1, 2"
    ) == [
        (
            shard + 1, replica + 1,
            f"ugc-clickhouse-shard-{shard}-{replica}.ugc-clickhouse-servers.default.svc",
            port, "cluster",
        )
        for shard in range(shards)
        for replica in range(replicas)
    ]  # fmt: skip
    accounts = set(USERS) - {"interserver"}
    assert engine.execute(
        "SELECT name, toString(auth_type[1]) FROM system.users WHERE name != 'default' ORDER BY 1"
    ) == [(user, "plaintext_password") for user in sorted(accounts)]
    disks = {name for (name,) in engine.execute("SELECT name FROM system.disks")}
    assert ("backups" in disks) == (scenario in ("production", "plain"))


def test_the_small_servers_settings_are_settings(start: Start) -> None:
    """A misspelt one would be taken for nothing, without a word."""
    engine = start("admin", "kind")
    values = yaml.safe_load((CHARTS / CHART / "ci/kind-values.yaml").read_text("utf-8"))
    known = {name for (name,) in engine.execute("SELECT name FROM system.server_settings")}
    assert set(values["server"]["settings"]) <= known
    changed = dict(
        engine.execute("SELECT name, value FROM system.merge_tree_settings WHERE changed")
    )
    assert len(changed) == 3
    assert set(changed.values()) == {"1"}


def test_profiles_and_quotas_are_what_the_values_say(start: Start) -> None:
    engine = start("admin", "production")
    elements = engine.execute(
        "SELECT profile_name, setting_name, value, min, max, writability"
        " FROM system.settings_profile_elements WHERE setting_name IS NOT NULL"
    )
    profiles = {(profile, setting): rest for profile, setting, *rest in elements}
    assert profiles["etl", "insert_quorum"][0] == "auto"
    assert profiles["etl", "async_insert"][0] == "0"
    assert profiles["analyst", "readonly"][0] == "2"
    assert profiles["analyst", "max_execution_time"] == ["60", "1", "60", None]
    assert profiles["analyst", "max_rows_to_read"] == ["5000000000", "1", "5000000000", None]
    assert profiles["analyst", "max_concurrent_queries_for_user"][3] == "CONST"
    assert engine.execute(
        "SELECT quota_name, duration, max_queries, max_execution_time FROM system.quota_limits"
        " WHERE quota_name = 'analyst'"
    ) == [("analyst", 3600, 5000, 3600)]
    quotas = engine.execute("SELECT name, apply_to_list FROM system.quotas ORDER BY name")
    assert dict(quotas)["analyst"] == ["analyst"]


@pytest.mark.proves(
    "ClickHouse: an analyst reads the views and nothing else, within limits", by="running"
)
def test_an_analyst_reads_the_views_and_nothing_else(start: Start) -> None:
    admin = start("admin")
    migrate(admin, SINGLE)
    fill(admin, SINGLE)
    views = [
        v for (v,) in admin.execute("SELECT name FROM system.tables WHERE database = 'analytics'")
    ]
    admin.close()
    analyst = start("analyst", more={"analyst.maxResultRows": 50})
    assert len(views) >= 8
    assert analyst.execute("SELECT rows FROM analytics.events WHERE family = 'views'") == [(10,)]
    assert analyst.execute("SELECT title, viewers FROM analytics.most_watched") == [("Solaris", 1)]
    parameters = {"audience_by_hour_in": "(time_zone = 'Europe/Rome')"}
    for view in views:
        analyst.execute(f"SELECT * FROM analytics.{view}{parameters.get(view, '')} LIMIT 10")
    for sql in (
        "SELECT count() FROM ugc.views",
        "SELECT * FROM ugc.viewings",
        "SELECT * FROM ugc.schema_migrations",
        "SELECT * FROM system.users",
        "SELECT * FROM system.grants",
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a Int8')",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM cluster('ugc', ugc.views)",
        "CREATE TABLE analytics.t (a Int8) ENGINE = Memory",
        "CREATE USER me",
        "DROP VIEW analytics.events",
        "SYSTEM DROP MARK CACHE",
    ):
        assert refused(analyst, sql) in (ACCESS_DENIED, READONLY), sql
    for setting in (
        "max_execution_time = 0", "max_execution_time = 61", "max_memory_usage = 0",
        "max_result_rows = 51", "readonly = 0", "allow_ddl = 1",
        "max_concurrent_queries_for_user = 0", "result_overflow_mode = 'break'",
    ):  # fmt: skip
        assert refused(analyst, f"SET {setting}") in (CONSTRAINT, READONLY, PROHIBITED), setting
    analyst.execute("SELECT 1 SETTINGS max_execution_time = 10, max_threads = 1")
    assert refused(analyst, "SELECT * FROM numbers(51)") == TOO_MANY_ROWS


@pytest.mark.proves("ClickHouse: an analyst's quota ends", by="running")
def test_an_analysts_quota_ends(start: Start) -> None:
    # Intervals begin at multiples of their length: one of ten years does not end in the test.
    quota = {"analyst.quota.queries": 3, "analyst.quota.intervalS": 315360000}
    analyst = start("analyst", more=quota)
    question = "SELECT sum(number) FROM numbers(10)"
    for _ in range(3):
        analyst.execute(question)
    assert refused(analyst, question) == QUOTA


@pytest.mark.proves("ClickHouse: the ETL's user can do its job and nothing else", by="running")
def test_the_etls_user_can_do_its_job_and_nothing_else(start: Start) -> None:
    etl = start("etl")
    deployment = Deployment()  # the definer is who migrates
    migrate(etl, deployment)
    assert migrate(etl, deployment) == []
    assert current_version(etl, deployment) == required_version
    fill(etl, deployment)
    before = etl.execute("SELECT * FROM ugc.viewings")
    delete(etl, deployment, "viewings", "viewer = 7")
    assert etl.execute("SELECT * FROM ugc.viewings") == []
    rebuild(etl, deployment, VIEWINGS, "viewer = 7")
    assert etl.execute("SELECT * FROM ugc.viewings") == before != []
    # It may ask the others; here there are none.
    asked = refused(etl, "SELECT count() FROM clusterAllReplicas('ugc', system.processes)")
    assert asked in NOBODY_THERE
    etl.execute("KILL QUERY WHERE query_id = 'none' SYNC")
    for sql in (
        "CREATE USER me",
        "GRANT SELECT ON ugc.* TO analyst",
        "DROP DATABASE ugc",
        "CREATE DATABASE mine",
        "CREATE TABLE analytics.t (a Int8) ENGINE = Memory",
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a Int8')",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SYSTEM SHUTDOWN",
        "SYSTEM DROP REPLICA 'a' FROM ZKPATH '/b'",
    ):
        assert refused(etl, sql) == ACCESS_DENIED, sql


def test_the_servers_user_reads_only(start: Start) -> None:
    admin = start("admin")
    migrate(admin, SINGLE)
    fill(admin, SINGLE)
    admin.close()
    cluster = start("cluster")
    assert cluster.execute("SELECT count() FROM ugc.views") == [(10,)]
    cluster.execute("SELECT count() FROM system.processes")
    for sql in (
        "INSERT INTO ugc.films (content_id, duration_ms) SELECT generateUUIDv4(), 1",
        "TRUNCATE TABLE ugc.views",
        "CREATE DATABASE mine",
    ):
        assert refused(cluster, sql) == ACCESS_DENIED, sql


def statements() -> Iterator[str]:
    """The cluster's schema, as each server runs it from the queue of distributed DDL.

    The engine has no such queue, and its replicas stay read-only: it offers nobody its parts.
    So windows and retention, which a read-only table does not let be changed, are left out.
    """
    for file in (bootstrap(), *migrations(), *repeatables()):
        for statement in file.statements(CLUSTER):
            if not statement.startswith("ALTER TABLE"):
                yield statement.replace("ON CLUSTER 'ugc'", "")


def lay_out(engine: Engine) -> None:
    for statement in statements():
        engine.execute(statement)


REPLICAS = "SELECT table, zookeeper_path, replica_name, total_replicas FROM system.replicas"


@pytest.mark.proves(
    "ClickHouse: replicas of two shards register the cluster's schema in a real ZooKeeper",
    by="running",
)
def test_replicas_meet_in_keeper(start: Start, tmp_path: Path) -> None:
    """Three servers of two shards and a real ZooKeeper: who is whose replica, by the macros."""
    with zookeeper.running(tmp_path) as port:
        servers = [
            start(
                "admin", "production", data=f"data-{shard}-{replica}", keeper_port=port,
                pod=f"ugc-clickhouse-shard-{shard}-{replica}", shard=shard,
            )
            for shard, replica in ((0, 0), (0, 1), (1, 0))
        ]  # fmt: skip
        for server in servers:
            lay_out(server)
        found = {table: rest for table, *rest in servers[0].execute(REPLICAS)}
        name = "ugc-clickhouse-shard-0-0"
        for table in ("views_local", "interactions_local", "reactions_local", "viewings_local"):
            assert found[table] == [f"/clickhouse/tables/0/ugc/{table}", name, 2]
        for table in ("films", "schema_migrations", "erased_places", "erased_viewers", "replays"):
            path = f"/clickhouse/tables/every_node/ugc/{table}"
            assert found[table] == [path, f"0-{name}", 3]
        other = {table: rest for table, *rest in servers[2].execute(REPLICAS)}
        assert other["views_local"][2] == 1
        assert other["films"][2] == 3
        for (table,) in servers[0].execute("SHOW TABLES FROM analytics"):
            if table != "audience_by_hour_in":
                servers[0].execute(f"DESCRIBE TABLE analytics.{table}")
        assert refused(servers[0], "TRUNCATE TABLE ugc.films") == NO_WRITES
        (views,) = [s for s in statements() if "TABLE IF NOT EXISTS ugc.views_local" in s]
        for old, new in (
            ("ugc.views_local", "ugc.other"), ("{table}", "views_local"),
            ("{replica}", "other"), ("position_ms UInt32", "position_ms Int8"),
        ):  # fmt: skip
            views = views.replace(old, new)
        assert refused(servers[1], views) == COLUMNS_DIFFER


@pytest.mark.proves("ClickHouse: a replica that lost its volume registers again", by="running")
def test_a_replica_that_lost_its_volume_comes_back(start: Start, tmp_path: Path) -> None:
    """The recipe of docs/clickhouse-chart.md, as far as it goes without parts to fetch."""
    with zookeeper.running(tmp_path) as port:
        first, second = (
            start(
                "admin", data=f"data-{replica}", keeper_port=port,
                pod=f"ugc-clickhouse-shard-0-{replica}",
            )
            for replica in range(2)
        )  # fmt: skip
        lay_out(first)
        lay_out(second)
        second.kill()
        fresh = start("admin", data="data-fresh", keeper_port=port, pod="ugc-clickhouse-shard-0-1")
        with pytest.raises(ServerRefused) as refusal:
            lay_out(fresh)
        assert refusal.value.code == REPLICA_THERE
        for path, replica in first.execute(
            "SELECT zookeeper_path, replace(replica_name, 'shard-0-0', 'shard-0-1')"
            " FROM system.replicas"
        ):
            first.execute(f"SYSTEM DROP REPLICA '{replica}' FROM ZKPATH '{path}'")
        assert {count for *_, count in first.execute(REPLICAS)} == {1}
        lay_out(fresh)
        assert {count for *_, count in first.execute(REPLICAS)} == {2}


@pytest.mark.proves("Keeper's liveness probe", by="running")
def test_the_probe_of_keeper_asks_what_keeper_answers(helm: Helm, tmp_path: Path) -> None:
    pod = helm.render(CHART).one("StatefulSet", "ugc-clickhouse-keeper")["spec"]["template"]
    *shell, script = pod["spec"]["containers"][0]["livenessProbe"]["exec"]["command"]
    with zookeeper.running(tmp_path) as port:
        command = [*shell, script.replace("9181", str(port))]
        assert subprocess.run(command, check=False, timeout=10).returncode == 0
    assert subprocess.run(command, check=False, capture_output=True, timeout=10).returncode != 0


@pytest.mark.proves("ClickHouse: a backup is made and restored", by="running")
def test_a_backup_is_made_and_restored(start: Start) -> None:
    """The statements of docs/clickhouse-chart.md, without ON CLUSTER, on the disk of the values."""
    admin = start("admin", "plain")
    migrate(admin, SINGLE)
    fill(admin, SINGLE)
    asked = "SELECT * FROM analytics.viewings"
    before = admin.execute(asked)
    admin.execute("BACKUP DATABASE ugc, DATABASE analytics TO Disk('backups', '2026-11-23')")
    admin.execute("DROP DATABASE analytics SYNC")
    admin.execute("DROP DATABASE ugc SYNC")
    admin.execute("RESTORE DATABASE ugc, DATABASE analytics FROM Disk('backups', '2026-11-23')")
    assert admin.execute("SELECT count() FROM ugc.views") == [(10,)]
    assert admin.execute(asked) == before != []
    assert migrate(admin, SINGLE) == []
    with pytest.raises(ServerRefused, match="allowed_path"):
        admin.execute("BACKUP DATABASE ugc TO File('/tmp/somewhere-else')")
