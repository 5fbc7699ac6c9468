"""Servers of a cluster that lack what others have: new ones, and those that lost their volume.

They are given the definitions of the others, not those of the migrations' files: a replica has to
have the columns that its table has by now.
"""

from __future__ import annotations

import re

from ugc_etl.schema.deployment import Deployment
from ugc_etl.schema.port import UNKNOWN_DATABASE, UNKNOWN_TABLE, SchemaClient, ServerRefused

_CREATE = re.compile(r"CREATE (?P<kind>TABLE|VIEW|MATERIALIZED VIEW) (?P<name>\S+)")


def complete(client: SchemaClient, deployment: Deployment) -> int:
    """Make what some servers of the cluster lack and others have; the number of statements.

    What no server has is left alone, and a single node is complete.

    Raises:
        ServerRefused: REPLICA_ALREADY_EXISTS (253) where Keeper still has what a replica was
            before it lost its volume: an administrator drops that first.
    """
    if not deployment.cluster:
        return 0
    waiting = [
        _CREATE.sub(
            rf"CREATE \g<kind> IF NOT EXISTS \g<name> ON CLUSTER '{deployment.cluster}'", sql, 1
        )
        for sql in _lacked(client, deployment)
    ]
    made = 0
    while waiting:
        again: list[str] = []
        for statement in waiting:
            try:
                client.execute(statement)
            except ServerRefused as refusal:
                # It reads another one of these, which comes later.
                if refusal.code not in (UNKNOWN_TABLE, UNKNOWN_DATABASE):
                    raise
                again.append(statement)
                if len(again) == len(waiting):
                    raise
        made += len(waiting) - len(again)
        waiting = again
    return made


def _lacked(client: SchemaClient, deployment: Deployment) -> list[str]:
    """CREATE statements of what some servers have and others have not, tables before views."""

    def on_every_server(table: str) -> str:
        return f"clusterAllReplicas('{deployment.cluster}', system.{table})"

    ((servers,),) = client.execute(f"SELECT count() FROM {on_every_server('one')}")
    found = client.execute(
        "SELECT database, name, count(), any(create_table_query), any(engine LIKE '%View')"
        f" FROM {on_every_server('tables')} WHERE database IN"
        f" ('{deployment.database}', '{deployment.analytics_database}') AND name NOT LIKE '.inner%'"
        " GROUP BY database, name"
    )
    lacked = [(bool(view), str(sql)) for _, _, on, sql, view in found if int(on) < int(servers)]
    return [sql for _, sql in sorted(lacked)]
