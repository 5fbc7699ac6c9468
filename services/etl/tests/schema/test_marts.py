"""Tokens, deadlines and parts: what the delivery protocol expects of the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ugc_etl.schema import Deployment, SchemaClient, ServerRefused, migrate

FILM = "00000000-0000-4000-8000-000000000001"
VIOLATED_CONSTRAINT = 469
TABLES = {
    "views": ("viewings", "audience"),
    "reactions": ("current_reactions",),
    "interactions": (),
}


@pytest.fixture
def migrated(engine: SchemaClient, deployment: Deployment) -> Deployment:
    migrate(engine, deployment)
    return deployment


def batch(table: str, rows: int = 3) -> list[dict[str, object]]:
    kind = {"views": "view_progress", "reactions": "rating", "interactions": "click"}[table]
    return [
        {
            "type": kind,
            "content_id": FILM,
            "viewer": n,
            "occurred_at": "2026-01-01 20:00:00.000",
            "_offset": n,
        }
        for n in range(rows)
    ]


def parts(engine: SchemaClient, deployment: Deployment, table: str) -> int:
    """Parts of a table whose merges are stopped: one an insert that was not a repetition."""
    ((count,),) = engine.execute(
        "SELECT count() FROM system.parts WHERE active"
        f" AND database = '{deployment.database}' AND table = '{table}'"
    )
    return int(count)


def count(engine: SchemaClient, deployment: Deployment, table: str) -> int:
    ((rows,),) = engine.execute(f"SELECT count() FROM {deployment.table(table)}")
    return int(rows)


@pytest.mark.parametrize(("table", "marts"), TABLES.items())
def test_a_repeated_token_adds_nothing_anywhere(
    engine: SchemaClient,
    migrated: Deployment,
    insert: Callable[..., None],
    table: str,
    marts: tuple[str, ...],
) -> None:
    for name in (table, *marts):
        engine.execute(f"SYSTEM STOP MERGES {migrated.table(name)}")
    for _ in range(3):
        insert(engine, migrated.local(table), batch(table), token="t:0:0-3")
    assert count(engine, migrated, table) == 3
    for name in (table, *marts):
        assert parts(engine, migrated, name) == 1, name

    # Another token is another batch, whatever it holds.
    insert(engine, migrated.local(table), batch(table), token="t:0:3-6")
    assert count(engine, migrated, table) == 6
    for name in (table, *marts):
        assert parts(engine, migrated, name) == 2, name


def test_a_repeated_token_heals_a_mart_that_failed(
    engine: SchemaClient, migrated: Deployment, insert: Callable[..., None]
) -> None:
    """Hazard 16: the raw rows landed, a mart's did not. The token's repetition heals the mart."""
    audience = migrated.table("audience")
    engine.execute(f"ALTER TABLE {audience} ADD CONSTRAINT broken CHECK 0")
    with pytest.raises(ServerRefused):
        insert(engine, migrated.local("views"), batch("views"), token="t:0:0-3")
    engine.execute(f"ALTER TABLE {audience} DROP CONSTRAINT broken")
    insert(engine, migrated.local("views"), batch("views"), token="t:0:0-3")
    assert count(engine, migrated, "views") == 3
    assert count(engine, migrated, "viewings") == 3
    assert engine.execute(f"SELECT viewers_approx FROM {migrated.analytics_database}.audience") == [
        (3,)
    ]


@pytest.mark.parametrize("table", TABLES)
def test_a_late_insert_is_refused_whole(
    engine: SchemaClient, migrated: Deployment, insert: Callable[..., None], table: str
) -> None:
    with pytest.raises(ServerRefused) as refusal:
        insert(engine, migrated.local(table), batch(table), insert_by="now() - 1")
    assert refusal.value.code == VIOLATED_CONSTRAINT
    for name in (table, *TABLES[table]):
        assert count(engine, migrated, name) == 0
    insert(engine, migrated.local(table), batch(table), insert_by="now() + 60")
    assert count(engine, migrated, table) == 3


def test_a_batch_of_one_month_is_one_part(
    engine: SchemaClient, migrated: Deployment, insert: Callable[..., None]
) -> None:
    rows = [
        row
        | {
            "content_id": f"00000000-0000-4000-8000-{n % 50:012}",
            "occurred_at": f"20{20 + n % 80}-{n % 12 + 1:02}-01 00:00:00.000",
        }
        for n, row in enumerate(batch("views", 400))
    ]
    insert(engine, migrated.local("views"), rows)
    for name in ("views", "viewings", "audience"):
        assert parts(engine, migrated, name) == 1, name


@pytest.mark.parametrize("moment", ["1900-01-01 00:00:00", "2299-12-31 23:59:59.999"])
def test_no_clock_of_a_client_makes_a_view_throw(
    engine: SchemaClient, migrated: Deployment, insert: Callable[..., None], moment: str
) -> None:
    """A throwing view would leave raw rows without their marts."""
    strange = {"occurred_at": moment, "duration_ms": 0, "position_ms": 2**32 - 1}
    insert(engine, migrated.local("views"), [batch("views", 1)[0] | strange])
    strange = {"occurred_at": moment, "score": 255}
    insert(engine, migrated.local("reactions"), [batch("reactions", 1)[0] | strange])
    for table in ("viewings", "audience", "current_reactions"):
        assert count(engine, migrated, table) == 1


def test_a_film_without_a_length_is_refused(engine: SchemaClient, migrated: Deployment) -> None:
    with pytest.raises(ServerRefused) as refusal:
        engine.execute(
            f"INSERT INTO {migrated.table('films')} (content_id, title, duration_ms)"
            f" VALUES ('{FILM}', 'A film', 0)"
        )
    assert refusal.value.code == VIOLATED_CONSTRAINT


def test_a_token_is_known_to_every_writer(
    engine: Any, migrated: Deployment, insert: Callable[..., None]
) -> None:
    """The window is the table's: another writer's repetition is a repetition, too."""
    other = engine.another()
    insert(engine, migrated.local("views"), batch("views"), token="t:0:0-3")
    insert(other, migrated.local("views"), batch("views"), token="t:0:0-3")
    other.close()
    assert count(engine, migrated, "views") == 3
