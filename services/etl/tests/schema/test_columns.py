from __future__ import annotations

import pytest
from ugc_etl.schema import Deployment, SchemaClient, migrate, raw_columns
from ugc_events.registry import FAMILIES, Family


@pytest.fixture(scope="module")
def migrated(engine: SchemaClient, module_deployment: Deployment) -> Deployment:
    migrate(engine, module_deployment)
    return module_deployment


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_table_has_the_columns_of_the_registry(
    engine: SchemaClient, migrated: Deployment, family: Family
) -> None:
    found = engine.execute(
        "SELECT name, type, default_kind FROM system.columns"
        f" WHERE database = '{migrated.database}' AND table = '{family.table}' ORDER BY position"
    )
    assert found == [(column.name, column.type, "") for column in raw_columns(family)]


def test_every_table_view_and_column_is_commented(
    engine: SchemaClient, migrated: Deployment
) -> None:
    databases = f"('{migrated.database}', '{migrated.analytics_database}')"
    ours = f"database IN {databases} AND NOT endsWith(table, '_mv')"
    assert (
        engine.execute(f"SELECT table, name FROM system.columns WHERE {ours} AND comment = ''")
        == []
    )
    assert engine.execute(f"SELECT name FROM system.tables WHERE {ours} AND comment = ''") == []
