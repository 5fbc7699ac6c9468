"""What the protocol asks of ClickHouse, as SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from ugc_events import Family

from ugc_etl.adapters.clickhouse import ClickHouse
from ugc_etl.adapters.clickhouse_shards import ClickHouseShards
from ugc_etl.erasure import ErasedViewers, erased_viewers_sql, ledger_sql
from ugc_etl.operations.marts import MARTS, rebuild
from ugc_etl.operations.rows_once import RUNNING_INSERT
from ugc_etl.protocol import Ranges
from ugc_etl.protocol.actions import ReadBack, Survey
from ugc_etl.protocol.facts import Evidence, Surveyed
from ugc_etl.records import Partition
from ugc_etl.schema import Deployment

_CLOCK = "SELECT toUnixTimestamp64Milli(now64(3))"
_REBUILD_OFFSETS = 1_000_000
"""Of one INSERT SELECT into a mart."""


class ClickHouseTables:
    """The pipeline's Tables. Every replica of every shard is asked.

    On a cluster one server asks them all; servers that are no cluster are asked one by one.
    """

    def __init__(self, shards: ClickHouseShards, deployment: Deployment) -> None:
        self._shards = shards
        self._deployment = deployment

    def read_back(self, family: Family, partition: Partition, asked: ReadBack) -> Evidence:
        """Two statements. The first begins with the clock, and it looks what runs after that."""
        intent = asked.intent
        server = self._shards.server(0 if intent is None else intent.shard)
        servers = sorted(self._servers(server), key=lambda each: each is not server)
        now_s, running = self._running(servers, partition, asked.generation)
        own = "0"
        if intent is not None:
            own = (
                f"_offset < {intent.end} AND _attempt = {intent.attempt}"
                f" AND _insert_by = toDateTime({intent.insert_by_s})"
            )
        counted = _ask_each(
            servers,
            f"SELECT countIf({own}), countIf(NOT ({own}))"
            f" FROM {self._everywhere(family.table)}"
            f" WHERE {_rows_of(partition, asked.generation)} AND _offset >= {asked.offset}",
        )
        return Evidence(
            server_now_s=now_s,
            running=running,
            rows=sum(int(rows) for rows, _ in counted),
            others=any(others > 0 for _, others in counted),
        )

    def survey(
        self, family: Family, partition: Partition, asked: Survey, letters: Callable[[], Ranges]
    ) -> Surveyed:
        """The clock, what runs, letters, then rows and ledger in one statement."""
        servers = self._servers(self._shards.server(0))
        # Nobody knows which shard has an insert in flight: the slowest clock counts.
        now_s = min(_now_s(server) for server in self._shards.servers)
        _, running = self._running(servers, partition, asked.generation)
        parts = list(letters().parts)
        of_ledger = (
            f"topic_id = toUUID('{UUID(partition.topic_id)}')"
            f" AND partition = {partition.number} AND offset >= {asked.start}"
        )
        rows = (
            f"FROM {self._everywhere(family.table)}"
            f" WHERE {_rows_of(partition, asked.generation)} AND _offset >= {asked.start}"
        )
        found = _ask_each(
            servers,
            "SELECT min(o), max(o) + 1, max(a) FROM ("
            " SELECT o, max(a) AS a, o - row_number() OVER (ORDER BY o) AS run FROM ("
            f"SELECT _offset AS o, toInt32(_attempt) AS a {rows}"
            " UNION ALL SELECT offset, toInt32(-1)"
            f" FROM {self._deployment.table('erased_places')} WHERE {of_ledger}"
            ") GROUP BY o) GROUP BY run",
        )
        parts += [(int(start), int(end)) for start, end, _ in found]
        return Surveyed(
            server_now_s=now_s,
            running=running,
            covered=Ranges.of(parts),
            attempt=max((int(attempt) for _, _, attempt in found), default=-1),
        )

    def cancel(self, partition: Partition, generation: int) -> None:
        """KILL QUERY, until nothing runs."""
        cluster = self._deployment.cluster
        on_cluster = f" ON CLUSTER '{cluster}'" if cluster else ""
        _ask_each(
            self._servers(self._shards.server(0)),
            f"KILL QUERY{on_cluster} WHERE {_inserts_of(partition, generation)} SYNC",
        )

    def rebuild_marts(self, family: Family, partition: Partition, start: int, end: int) -> None:
        """INSERT SELECT of the views' own queries, piece by piece."""
        for first in range(start, end, _REBUILD_OFFSETS):
            last = min(first + _REBUILD_OFFSETS, end)
            rows = f"{_rows_of(partition, None)} AND _offset >= {first} AND _offset < {last}"
            for server in self._servers(self._shards.server(0)):
                for mart in MARTS:
                    if mart.raw_table == family.table:
                        rebuild(_Asking(server.ask), self._deployment, mart, rows)

    def erased_viewers(self, shard: int) -> ErasedViewers:
        """The table of erased viewers, which on a cluster is the same on every node."""
        asked = self._shards.server(shard).ask(erased_viewers_sql(self._deployment))
        return ErasedViewers.of(asked)

    def enter_ledger(self, shard: int, partition: Partition, offsets: Sequence[int]) -> None:
        """One INSERT."""
        if offsets:
            self._shards.server(shard).ask(
                ledger_sql(self._deployment, partition.topic_id, partition.number, offsets)
            )

    def _servers(self, server: ClickHouse) -> Sequence[ClickHouse]:
        """Those to be asked so that everything is: of a cluster, one is enough."""
        return [server] if self._deployment.cluster else self._shards.servers

    def _running(
        self, servers: Sequence[ClickHouse], partition: Partition, generation: int
    ) -> tuple[float, bool]:
        """The clock of the first server; then whether an insert runs on any."""
        cluster = self._deployment.cluster
        processes = (
            f"clusterAllReplicas('{cluster}', system.processes)"
            if cluster
            else ("system.processes")
        )
        found = _ask_each(
            servers,
            # A scalar is there before the query that has it looks at anything.
            f"SELECT ({_CLOCK}), count() FROM {processes}"
            f" WHERE {_inserts_of(partition, generation)}",
        )
        return float(found[0][0]) / 1000, any(count > 0 for _, count in found)

    def _everywhere(self, table: str) -> str:
        deployment = self._deployment
        if not deployment.cluster:
            return deployment.local(table)
        database, _, local = deployment.local(table).partition(".")
        return f"clusterAllReplicas('{deployment.cluster}', {database}, {local})"


def _ask_each(servers: Sequence[ClickHouse], sql: str) -> list[tuple[Any, ...]]:
    """The rows of every server's answer."""
    return [row for server in servers for row in server.ask(sql)]


def _now_s(server: ClickHouse) -> float:
    [(now_ms,)] = server.ask(_CLOCK)
    return float(now_ms) / 1000


class _Asking:
    """What `rebuild` needs."""

    def __init__(self, ask: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self.execute = ask


def _rows_of(partition: Partition, generation: int | None) -> str:
    of_generation = "" if generation is None else f" AND _generation = {generation}"
    return (
        f"_topic_id = toUUID('{UUID(partition.topic_id)}')"
        f" AND _partition = {partition.number}{of_generation}"
    )


def _inserts_of(partition: Partition, generation: int) -> str:
    """A condition on `system.processes`: by the token in `log_comment`, see `insert_token`."""
    prefix = f"{UUID(partition.topic_id)}:{partition.number}:"
    return (
        f"startsWith({RUNNING_INSERT}, '{prefix}')"
        f" AND splitByChar(':', {RUNNING_INSERT})[5] = '{generation}'"
    )
