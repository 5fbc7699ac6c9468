"""Where a schema is applied, and the text that this puts into its SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLUSTER = re.compile(r"[A-Za-z0-9_.{}-]+")
_DEFINER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A single node, or a cluster.

    Attributes:
        database: raw tables and marts; the platform's own.
        analytics_database: the views that analysts ask.
        cluster: name in the servers' `remote_servers`, or None for a single node. On a cluster
            every server defines the macros `shard` and `replica`, and the cluster has
            `internal_replication`.
        definer: the user in whose name the views read `database`, so that an analyst needs
            SELECT on `analytics_database` alone. CURRENT_USER is the user that migrates.
        deduplication_blocks: how many inserts a table remembers tokens of. All writers of a
            table share it: at least inserts a second, of all consumers, x (insert deadline +
            clock skew), with room to spare.
        deduplication_s: how long a replicated table remembers them; more than insert deadline +
            clock skew. A table of a single node knows only the number.
        raw_retention_days: rows of raw tables are dropped this long after their record's
            timestamp, or a month later (whole parts); None keeps them for ever. Marts stay.
    """

    database: str = "ugc"
    analytics_database: str = "analytics"
    cluster: str | None = None
    definer: str = "CURRENT_USER"
    deduplication_blocks: int = 20_000
    deduplication_s: int = 3600
    raw_retention_days: int | None = None

    def __post_init__(self) -> None:
        """Refuse what would not be a name or a number in SQL."""
        for name in (self.database, self.analytics_database):
            if not _NAME.fullmatch(name):
                raise ValueError(f"not a name of a database: {name!r}")
        if self.database == self.analytics_database:
            raise ValueError("the analysts' database must not be the platform's own")
        if self.cluster and not _CLUSTER.fullmatch(self.cluster):
            raise ValueError(f"not a name of a cluster: {self.cluster!r}")
        if not _DEFINER.fullmatch(self.definer):
            raise ValueError(f"not a name of a user: {self.definer!r}")
        if self.deduplication_blocks < 1 or self.deduplication_s < 1:
            raise ValueError("without a deduplication window a repeated insert doubles its rows")
        if self.raw_retention_days is not None and self.raw_retention_days < 1:
            raise ValueError("a retention is at least a day")

    def table(self, name: str) -> str:
        """The table that readers ask: every shard's rows."""
        return f"{self.database}.{name}"

    def local(self, name: str) -> str:
        """The table that a writer inserts into, on the shard that it has chosen."""
        return f"{self.database}.{name}{self._local}"

    @property
    def _local(self) -> str:
        return "_local" if self.cluster else ""

    def placeholders(self) -> dict[str, str]:
        """What each `$name` of the SQL files stands for."""
        return {
            "database": self.database,
            "analytics": self.analytics_database,
            "definer": self._quoted_definer(),
            "cluster": self.cluster or "",
            "on_cluster": f"ON CLUSTER '{self.cluster}'" if self.cluster else "",
            "local": self._local,
            "deduplication": self._deduplication(),
            "raw_retention_days": str(self.raw_retention_days),
            **self._engine(),
        }

    def _quoted_definer(self) -> str:
        return self.definer if self.definer == "CURRENT_USER" else f"`{self.definer}`"

    def _deduplication(self) -> str:
        if not self.cluster:
            return f"non_replicated_deduplication_window = {self.deduplication_blocks}"
        return (
            f"replicated_deduplication_window = {self.deduplication_blocks}, "
            f"replicated_deduplication_window_seconds = {self.deduplication_s}"
        )

    def _engine(self) -> dict[str, str]:
        # Paths by name, not by {uuid}: a replica that joins later runs the same CREATE TABLE
        # IF NOT EXISTS under a UUID of its own and must still find the others.
        on_shard = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
        on_every_node = "'/clickhouse/tables/every_node/{database}/{table}', '{shard}-{replica}'"
        if not self.cluster:
            return dict.fromkeys(
                ("replicated", "on_shard", "on_every_node", "on_every_node_and"), ""
            )
        return {
            "replicated": "Replicated",
            "on_shard": on_shard,
            "on_every_node": on_every_node,
            "on_every_node_and": f"{on_every_node}, ",
        }
