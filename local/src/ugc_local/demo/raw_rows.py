"""What of Kafka's records is visible in the raw tables."""

from __future__ import annotations

from collections.abc import Iterator

from ugc_events import FAMILIES

from ugc_local.demo.answers import Ask
from ugc_local.demo.freshness import Place


class RawRows:
    """Looks at the raw tables; `visible` is how many rows the last look saw."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.visible = 0
        self._sql = " UNION ALL ".join(
            f"SELECT '{family.table}' AS family, _partition, max(_offset) AS last, count() AS rows "
            f"FROM ugc.{family.table} GROUP BY _partition"
            for family in FAMILIES
        )

    def look(self) -> dict[Place, int]:
        """The greatest visible offset of each partition that has rows."""
        rows = self._ask(self._sql)
        self.visible = sum(row["rows"] for row in rows)
        return {(row["family"], row["_partition"]): row["last"] for row in rows}


def received(lines: Iterator[list[str]]) -> Iterator[tuple[Place, int, int]]:
    """(place, offset, received_at in ms) of each row that `RECEIVED_SQL` answers."""
    for family, partition, offset, received_at_ms in lines:
        yield (family, int(partition)), int(offset), int(received_at_ms)


RECEIVED_SQL = " UNION ALL ".join(
    f"SELECT '{family.table}', _partition, _offset, toUnixTimestamp64Milli(received_at) "
    f"FROM ugc.{family.table}"
    for family in FAMILIES
)
