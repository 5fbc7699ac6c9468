"""Migrations are repeatable, recorded, and survive company, crashes and meddling."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ugc_etl.schema import (
    Deployment,
    SchemaClient,
    SchemaError,
    ServerRefused,
    Step,
    current_version,
    migrate,
    required_version,
)
from ugc_etl.schema.files import bootstrap, migrations, repeatables


def recorded(engine: SchemaClient, deployment: Deployment) -> list[tuple[Any, ...]]:
    return engine.execute(
        f"SELECT DISTINCT version, name FROM {deployment.database}.schema_migrations"
        " ORDER BY version, name"
    )


def defined(engine: SchemaClient, deployment: Deployment) -> dict[str, str]:
    """Every table and view of the deployment, with the statement that would create it."""
    rows = engine.execute(
        "SELECT database, name, create_table_query FROM system.tables"
        f" WHERE database IN ('{deployment.database}', '{deployment.analytics_database}')"
    )
    return {
        name: sql.replace(deployment.database, "raw").replace(
            deployment.analytics_database, "asked"
        )
        for _, name, sql in rows
    }


class Dying:
    """A client whose process ends after some statements."""

    def __init__(self, engine: SchemaClient, statements: int) -> None:
        self.engine = engine
        self.left = statements

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        if self.left == 0:
            raise ConnectionResetError
        self.left -= 1
        return self.engine.execute(sql)


def test_a_first_time_and_a_second(engine: SchemaClient, deployment: Deployment) -> None:
    assert current_version(engine, deployment) == 0
    steps: list[Step] = []
    applied = migrate(engine, deployment, steps.append)
    assert applied == steps
    assert [step.name for step in applied] == [f.name for f in [*migrations(), *repeatables()]]
    assert current_version(engine, deployment) == required_version == len(migrations())
    assert str(applied[0]) == "applied 0001_raw_tables (3 statements)"

    before = defined(engine, deployment)
    assert migrate(engine, deployment) == []
    assert defined(engine, deployment) == before


def test_a_database_without_a_schema_is_version_0(
    engine: SchemaClient, deployment: Deployment
) -> None:
    engine.execute(f"CREATE DATABASE {deployment.database}")
    assert current_version(engine, deployment) == 0


def test_every_statement_can_be_repeated(engine: SchemaClient, deployment: Deployment) -> None:
    deployment = replace(deployment, raw_retention_days=30)
    files = [bootstrap(), *migrations(), *repeatables()]
    for statement in [sql for file in files for sql in file.statements(deployment)]:
        engine.execute(statement)
        engine.execute(statement)


def test_a_crash_after_any_statement(engine: SchemaClient, deployment: Deployment) -> None:
    migrate(engine, deployment)
    complete = defined(engine, deployment)
    statements = 0
    while True:
        crashed = Deployment(f"{deployment.database}_{statements}", f"asked_crash_{statements}")
        try:
            migrate(Dying(engine, statements), crashed)
            break
        except ConnectionResetError:
            assert current_version(engine, crashed) <= required_version
        migrate(engine, crashed)
        assert defined(engine, crashed) == complete
        assert current_version(engine, crashed) == required_version
        assert migrate(engine, crashed) == []
        for database in (crashed.database, crashed.analytics_database):
            engine.execute(f"DROP DATABASE {database} SYNC")
        statements += 1
    assert statements > len(complete)


def test_several_at_once(engine: Any, deployment: Deployment) -> None:
    outcomes: list[list[Step] | Exception] = []
    barrier = threading.Barrier(4)

    def run(client: Any) -> None:
        barrier.wait()
        try:
            outcomes.append(migrate(client, deployment))
        except ServerRefused as refusal:
            outcomes.append(refusal)

    clients = [engine.another() for _ in range(4)]
    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()

    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert len(outcomes) == 4
    assert current_version(engine, deployment) == required_version
    assert len(recorded(engine, deployment)) == len(migrations()) + len(repeatables())
    assert migrate(engine, deployment) == []


def test_a_changed_migration_is_refused(engine: SchemaClient, deployment: Deployment) -> None:
    migrate(engine, deployment)
    table = f"{deployment.database}.schema_migrations"
    engine.execute(
        f"ALTER TABLE {table} UPDATE checksum = 'abc' WHERE version = 2 SETTINGS mutations_sync = 2"
    )
    with pytest.raises(SchemaError, match=r"migration 2 was applied .* must not be changed"):
        migrate(engine, deployment)


def test_a_gap_is_refused(engine: SchemaClient, deployment: Deployment) -> None:
    migrate(engine, deployment)
    table = f"{deployment.database}.schema_migrations"
    engine.execute(f"DELETE FROM {table} WHERE version = 2")
    assert current_version(engine, deployment) == 1
    with pytest.raises(SchemaError, match="0002_marts is not recorded"):
        migrate(engine, deployment)


def test_a_newer_schema_is_left_as_it_is(engine: SchemaClient, deployment: Deployment) -> None:
    migrate(engine, deployment)
    table = f"{deployment.database}.schema_migrations"
    engine.execute(
        f"INSERT INTO {table} (version, name, checksum)"
        f" SELECT {required_version + 1}, '9999_later', 'abc'"
    )
    engine.execute(
        f"INSERT INTO {table} (version, name, checksum) SELECT 0, '20_viewings', 'later'"
    )
    assert migrate(engine, deployment) == []
    assert current_version(engine, deployment) == required_version + 1


def test_views_and_settings_follow_the_deployment(
    engine: SchemaClient, deployment: Deployment
) -> None:
    migrate(engine, deployment)
    wider = replace(deployment, deduplication_blocks=777, raw_retention_days=90)
    assert [step.name for step in migrate(engine, wider)] == ["10_table_settings"]
    tables = defined(engine, deployment)
    for table in (
        "views",
        "interactions",
        "reactions",
        "viewings",
        "audience",
        "current_reactions",
    ):
        assert "non_replicated_deduplication_window = 777" in tables[table]
    for table in ("views", "interactions", "reactions"):
        assert "TTL toDate(_timestamp) + toIntervalDay(90)" in tables[table]
    assert migrate(engine, wider) == []
    assert [step.name for step in migrate(engine, deployment)] == ["10_table_settings"]


def test_another_error_of_the_server_is_not_version_0(deployment: Deployment) -> None:
    class Refusing:
        def execute(self, sql: str) -> list[tuple[Any, ...]]:
            raise ServerRefused(497, f"not enough privileges for {sql}")

    with pytest.raises(ServerRefused, match="497"):
        current_version(Refusing(), deployment)


def test_the_package_ships_its_files() -> None:
    source = Path(__file__).parents[2] / "src" / "ugc_etl" / "schema"
    assert {f.name for f in migrations()} == {p.stem for p in (source / "migrations").glob("*.sql")}
    assert {f.name for f in repeatables()} == {
        p.stem for p in (source / "repeatable").glob("*.sql")
    }
