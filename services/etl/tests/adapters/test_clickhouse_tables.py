"""Which servers are asked what, and in which order."""

import pytest
from samples import partition
from ugc_etl.adapters.clickhouse_shards import ClickHouseShards
from ugc_etl.adapters.clickhouse_tables import ClickHouseTables
from ugc_etl.protocol import Intent
from ugc_etl.protocol.actions import ReadBack
from ugc_etl.schema import Deployment
from ugc_events.registry import VIEWS

INTENT = Intent(
    start=0, end=5, attempt=0, shard=1, table="ugc.views", decoder="d", insert_by_s=1_800_000_000
)


class Server:
    """Answers with its clock, how many inserts run, and its rows: the intent's own and others."""

    def __init__(self, number, asked, now_ms, running, counts):
        self.number, self.asked = number, asked
        self.now_ms, self.running, self.counts = now_ms, running, counts

    def ask(self, sql):
        what = "runs" if "system.processes" in sql else "rows"
        self.asked.append((self.number, what))
        if what == "rows":
            return [self.counts]
        clock, runs = sql.index("now64"), sql.index("system.processes")
        assert clock < runs
        return [(self.now_ms, self.running)]


def read_back(running=(0, 0), counts=((0, 0), (0, 0)), cluster=None):
    asked = []
    servers = [Server(n, asked, (n + 1) * 1000, running[n], counts[n]) for n in range(2)]
    tables = ClickHouseTables(ClickHouseShards(servers), Deployment(cluster=cluster))
    evidence = tables.read_back(VIEWS, partition(0), ReadBack(INTENT, 0, 0, "late"))
    return evidence, asked


def test_the_clock_of_the_intent_s_shard_is_read_before_anything_else():
    evidence, asked = read_back()
    assert evidence.server_now_s == 2.0
    assert asked == [(1, "runs"), (0, "runs"), (1, "rows"), (0, "rows")]


def test_of_a_cluster_the_intent_s_shard_asks_the_others():
    evidence, asked = read_back(cluster="main")
    assert evidence.server_now_s == 2.0
    assert asked == [(1, "runs"), (1, "rows")]


@pytest.mark.parametrize("shard", [0, 1])
def test_what_any_server_has_counts(shard):
    some = [0, 0]
    some[shard] = 1
    evidence, _ = read_back(running=some)
    assert evidence.running
    counts = [(0, 0), (0, 0)]
    counts[shard] = (3, 1)
    evidence, _ = read_back(counts=counts)
    assert (evidence.running, evidence.rows, evidence.others) == (False, 3, True)
