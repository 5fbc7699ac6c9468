"""How long tables keep rows, as the server has it."""

from __future__ import annotations

from ugc_etl.operations.ports import Sql
from ugc_etl.schema import Deployment

_DAY_MS = 86_400_000


def retention_ms(sql: Sql, deployment: Deployment, table: str) -> int | None:
    """Rows may go so long after their record's timestamp; None: they stay for ever."""
    database, name = deployment.local(table).split(".")
    [(days,)] = sql.execute(
        r"SELECT extract(any(create_table_query), 'toIntervalDay\\(([0-9]+)\\)')"
        f" FROM system.tables WHERE database = '{database}' AND name = '{name}'"
    )
    return int(days) * _DAY_MS if days else None
