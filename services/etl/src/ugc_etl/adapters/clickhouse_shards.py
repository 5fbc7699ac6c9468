"""The shards of ClickHouse, each by an address of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ugc_etl.adapters.clickhouse import ClickHouse
from ugc_etl.ports import RefusedError


class ClickHouseShards:
    """The servers, in the order of the shards' numbers: the pipeline's clock and its writers."""

    def __init__(self, servers: Sequence[ClickHouse]) -> None:
        self.servers = tuple(servers)

    def now_s(self) -> float:
        """The clock that was measured last; RuntimeError before any connection."""
        return max(self.servers, key=lambda server: server.clock_read_at_s).now_s()

    def server(self, shard: int) -> ClickHouse:
        """Where the rows of a shard go. Raises RefusedError where it has no address."""
        if shard >= len(self.servers):
            raise RefusedError(
                f"an insert was declared for shard {shard}, and CLICKHOUSE_SHARDS has"
                f" {len(self.servers)}: let consumers that know it finish, then take it away"
            )
        return self.servers[shard]

    def close(self) -> None:
        """Cut every connection."""
        for server in self.servers:
            server.close()
