"""Marts made again from raw rows.

What a mart holds of a raw row is what its materialized view's query says, and the server has that
query: it is asked for, and run with its table narrowed to the rows that are meant. All states are
idempotent, so what is counted again counts once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ugc_etl.operations.ports import Sql
from ugc_etl.ports import RefusedError
from ugc_etl.schema import Deployment


@dataclass(frozen=True, slots=True)
class Mart:
    """A mart: its table and its materialized view, without database, and the view's raw table."""

    table: str
    view: str
    raw_table: str


VIEWINGS = Mart("viewings", "viewings_mv", "views")
AUDIENCE = Mart("audience", "audience_mv", "views")
REACTIONS = Mart("current_reactions", "current_reactions_mv", "reactions")
MARTS = (VIEWINGS, AUDIENCE, REACTIONS)


def rebuild(sql: Sql, deployment: Deployment, mart: Mart, condition: str) -> None:
    """Add to the mart what the raw rows with `condition` say, of every shard.

    A mart may hold a row of any shard: whoever asks it merges them. Raises RefusedError where the
    view is not as the schema made it.
    """
    found = sql.execute(
        "SELECT as_select FROM system.tables"
        f" WHERE database = '{deployment.database}' AND name = '{mart.view}'"
    )
    select = str(found[0][0]) if found else ""
    source = re.compile(rf"\bFROM {re.escape(deployment.local(mart.raw_table))}\b")
    narrowed, replaced = source.subn(
        f"FROM (SELECT * FROM {deployment.table(mart.raw_table)} WHERE {condition})", select
    )
    if replaced != 1:
        raise RefusedError(
            f"the view {deployment.database}.{mart.view} is not as the migrations made it: its"
            f" query is {select!r}"
        )
    # A block that equals an older one, since deleted, must not be dropped as a repetition.
    sql.execute(
        f"INSERT INTO {deployment.local(mart.table)} SETTINGS insert_deduplicate = 0 {narrowed}"
    )


def delete(sql: Sql, deployment: Deployment, table: str, condition: str) -> None:
    """Delete rows of a table (named without database) on every shard; returns when it is done."""
    on_cluster = f"ON CLUSTER '{deployment.cluster}' " if deployment.cluster else ""
    sql.execute(
        f"ALTER TABLE {deployment.local(table)} {on_cluster}DELETE WHERE {condition}"
        " SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1"
    )
