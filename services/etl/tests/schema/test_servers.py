"""A server of a cluster that has nothing is given what the others have.

One engine plays both servers: the second has databases of its own, and a client that answers for
the cluster. Replication, which the engine has not, is taken out, and so are Distributed tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ugc_etl.schema import (
    Deployment,
    SchemaClient,
    ServerRefused,
    current_version,
    migrate,
    required_version,
)
from ugc_etl.schema.servers import complete

REPLICA_THERE = 253


@dataclass
class Cluster:
    """A `SchemaClient` of the first of some servers."""

    engine: SchemaClient
    deployment: Deployment
    servers: int = 2
    statements: list[str] = field(default_factory=list)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        on_cluster = f"ON CLUSTER '{self.deployment.cluster}'"
        if on_cluster in sql:
            self.statements.append(sql)
            for number in range(self.servers):
                self.on(number, sql.replace(on_cluster, ""))
            return []
        if sql.startswith("INSERT"):  # into a table that is replicated
            return [row for number in range(self.servers) for row in self.on(number, sql)]
        every = re.search(r"clusterAllReplicas\('main', (\S+)\)", sql)
        if every is None:
            return self.on(0, sql)
        if every[1] == "system.one":
            return [(self.servers,)]
        if every[1] == "system.tables":
            return self.tables(sql.replace(every[0], every[1]))
        rows = " UNION ALL ".join(
            f"SELECT * FROM {self.named(number, every[1])}" for number in range(self.servers)
        )
        return self.engine.execute(sql.replace(every[0], f"({rows})"))

    def tables(self, sql: str) -> list[tuple[Any, ...]]:
        found: dict[tuple[str, str], list[Any]] = {}
        for number in range(self.servers):
            for database, name, on, create, view in self.on(number, sql):
                key = (self.named(number, database, back=True), name)
                statement = self.named(number, create, back=True)
                found.setdefault(key, [0, statement, view])[0] += int(on)
        return [(*key, *rest) for key, rest in found.items()]

    def on(self, number: int, sql: str) -> list[tuple[Any, ...]]:
        """A statement on one of the servers."""
        sql = re.sub(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(, )?", r"\1(", sql)
        sql = re.sub(r", replicated_deduplication_window_seconds = \d+", "", sql)
        sql = sql.replace(" replicated_dedup", " non_replicated_dedup")
        return self.engine.execute(self.named(number, sql))

    def named(self, number: int, sql: str, *, back: bool = False) -> str:
        """The same with the names of a server's databases."""
        if not number:
            return sql
        for database in (self.deployment.database, self.deployment.analytics_database):
            names = (database, f"{database}_at_{number}")
            old, new = reversed(names) if back else names
            sql = re.sub(rf"\b{old}\b", new, sql)
        return sql

    def lose(self, number: int) -> None:
        for database in (self.deployment.analytics_database, self.deployment.database):
            self.on(number, f"DROP DATABASE {database} SYNC")

    def definitions(self, number: int) -> dict[str, str]:
        names = f"('{self.deployment.database}', '{self.deployment.analytics_database}')"
        rows = self.on(
            number,
            "SELECT database, name, create_table_query FROM system.tables"
            f" WHERE database IN {names}",
        )
        return {
            self.named(number, f"{database}.{name}", back=True): self.named(number, sql, back=True)
            for database, name, sql in rows
        }


CONFIGURATION = """<clickhouse>
    <tcp_port>1</tcp_port>
    <remote_servers><main><shard><internal_replication>true</internal_replication>
        <replica><host>localhost</host><port>1</port></replica>
    </shard></main></remote_servers>
</clickhouse>"""


@pytest.fixture(scope="module")
def clustered(engine_with: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("configuration") / "config.xml"
    path.write_text(CONFIGURATION)
    engine = engine_with(f"config-file={path}")
    yield engine
    engine.close()


@pytest.fixture
def cluster(clustered: SchemaClient, deployment: Deployment) -> Cluster:
    cluster = Cluster(clustered, replace(deployment, cluster="main"))
    migrate(cluster, cluster.deployment)
    return cluster


def test_a_complete_cluster_is_given_nothing(cluster: Cluster) -> None:
    before = len(cluster.statements)
    assert complete(cluster, cluster.deployment) == 0
    assert migrate(cluster, cluster.deployment) == []
    assert len(cluster.statements) == before + 3  # the bootstrap's


@pytest.mark.parametrize("lost", [0, 1], ids=["the one that is asked", "another"])
def test_a_server_that_lost_its_volume_has_all_again(cluster: Cluster, lost: int) -> None:
    before = cluster.definitions(lost)
    assert len(before) > 20
    cluster.lose(lost)
    (step,) = migrate(cluster, cluster.deployment)
    assert str(step).startswith("applied definitions that servers lacked (")
    # The bootstrap has made the record.
    assert step.statements == len(before) - 1
    assert cluster.definitions(lost) == before
    assert migrate(cluster, cluster.deployment) == []
    cluster.on(lost, f"SELECT * FROM {cluster.deployment.analytics_database}.film_stats")


def test_a_new_server_has_the_columns_of_today(cluster: Cluster) -> None:
    """By the migrations' files it would not fit the other replicas of its table."""
    table = cluster.deployment.local("views")
    cluster.execute(f"ALTER TABLE {table} ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS later UInt8")
    cluster.servers = 3
    assert len(migrate(cluster, cluster.deployment)) == 1
    assert cluster.definitions(2) == cluster.definitions(0)
    assert "`later` UInt8" in cluster.definitions(2)[table]


def test_views_may_come_in_any_order(cluster: Cluster) -> None:
    """A view of the first database that reads the second, and one that reads that."""
    raw, asked = cluster.deployment.database, cluster.deployment.analytics_database
    cluster.execute(f"CREATE VIEW {asked}.b ON CLUSTER 'main' AS SELECT 1 AS one")
    cluster.execute(f"CREATE VIEW {asked}.a ON CLUSTER 'main' AS SELECT one FROM {asked}.b")
    cluster.execute(f"CREATE VIEW {raw}.c ON CLUSTER 'main' AS SELECT one FROM {asked}.a")
    cluster.lose(1)
    migrate(cluster, cluster.deployment)
    assert cluster.on(1, f"SELECT * FROM {raw}.c") == [(1,)]


def test_an_older_release_completes_a_newer_schema(cluster: Cluster) -> None:
    raw = cluster.deployment.database
    cluster.execute(
        f"INSERT INTO {raw}.schema_migrations (version, name, checksum)"
        f" VALUES ({required_version + 1}, 'later', 'x')"
    )
    cluster.execute(
        f"CREATE TABLE {raw}.later ON CLUSTER 'main' (a Int8) ENGINE = MergeTree ORDER BY a"
    )
    cluster.lose(1)
    assert len(migrate(cluster, cluster.deployment)) == 1
    assert f"{raw}.later" in cluster.definitions(1)
    assert current_version(cluster, cluster.deployment) == required_version + 1


def test_a_replica_that_keeper_still_has_is_said(cluster: Cluster) -> None:
    class Keeper(Cluster):
        def on(self, number: int, sql: str) -> list[tuple[Any, ...]]:
            if number == 1 and sql.startswith("CREATE TABLE"):
                raise ServerRefused(REPLICA_THERE, "Replica 1 already exists")
            return super().on(number, sql)

    cluster.lose(1)
    keeper = Keeper(cluster.engine, cluster.deployment)
    with pytest.raises(ServerRefused) as refusal:
        migrate(keeper, keeper.deployment)
    assert refusal.value.code == REPLICA_THERE


def test_what_cannot_be_made_is_said(cluster: Cluster) -> None:
    raw = cluster.deployment.database
    for sql in (
        f"CREATE TABLE {raw}.source ON CLUSTER 'main' (a Int8) ENGINE = MergeTree ORDER BY a",
        f"CREATE TABLE {raw}.target ON CLUSTER 'main' (a Int8) ENGINE = MergeTree ORDER BY a",
        f"CREATE MATERIALIZED VIEW {raw}.broken ON CLUSTER 'main' TO {raw}.target"
        f" AS SELECT a FROM {raw}.source",
        f"DROP TABLE {raw}.target ON CLUSTER 'main' SYNC",
    ):
        cluster.execute(sql)
    cluster.lose(1)
    with pytest.raises(ServerRefused, match="broken"):
        migrate(cluster, cluster.deployment)
    assert f"{raw}.source" in cluster.definitions(1)
