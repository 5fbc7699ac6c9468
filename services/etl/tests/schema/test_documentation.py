"""docs/schema.md tells what is there: its tables are the comments of the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ugc_etl.schema import Deployment, SchemaClient, migrate

PAGE = (Path(__file__).parents[4] / "docs" / "schema.md").read_text("utf-8")


@pytest.fixture(scope="module")
def migrated(engine: SchemaClient, module_deployment: Deployment) -> Deployment:
    migrate(engine, module_deployment)
    return module_deployment


def test_every_view_of_the_analysts_is_told_column_by_column(
    engine: SchemaClient, migrated: Deployment
) -> None:
    views = engine.execute(
        "SELECT name, comment FROM system.tables"
        f" WHERE database = '{migrated.analytics_database}' ORDER BY name"
    )
    told = PAGE.split("## The analysts' views\n")[1].split("\n## ")[0]
    assert re.findall("^### (.*)$", told, re.MULTILINE) == [view for view, _ in views]
    for view, comment in views:
        columns = engine.execute(
            "SELECT name, type, comment FROM system.columns WHERE database ="
            f" '{migrated.analytics_database}' AND table = '{view}' ORDER BY position"
        )
        lines = [f"### {view}", "", f"{comment}.", "", "| column | type | |", "|---|---|---|"]
        lines += [f"| `{name}` | `{kind}` | {words} |" for name, kind, words in columns]
        expected = "\n".join(lines) + "\n"
        assert expected in PAGE, f"docs/schema.md should say:\n\n{expected}"


def test_a_view_with_a_parameter_is_told_too(engine: SchemaClient, migrated: Deployment) -> None:
    """The server knows the columns of one only where it is asked."""
    view = f"{migrated.analytics_database}.audience_by_hour_in(time_zone = 'UTC')"
    section = PAGE.split("### audience_by_hour_in\n")[1].split("###")[0]
    columns = engine.execute(f"DESCRIBE (SELECT * FROM {view})")
    assert len(columns) == 3
    for name, kind, *_ in columns:
        assert f"| `{name}` | `{kind}` |" in section


def test_every_table_of_the_platform_is_told(engine: SchemaClient, migrated: Deployment) -> None:
    tables = engine.execute(
        "SELECT name, comment FROM system.tables"
        f" WHERE database = '{migrated.database}' AND NOT endsWith(name, '_mv') ORDER BY name"
    )
    for name, comment in tables:
        assert f"| `{name}` | {comment} |" in PAGE, f"docs/schema.md lacks: {name}, {comment}"
