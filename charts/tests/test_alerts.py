"""Alerts: about metrics that there are, each with a page that tells what to do."""

import re
from pathlib import Path
from typing import Any

import chdb
import pytest
import ugc_api.metrics
import ugc_etl.metrics
from rendering import CHARTS, Helm, Object

DESCRIBED = CHARTS.parent / "docs" / "alerts.md"
METRICS = {
    "ugc-api": ugc_api.metrics.Metrics().render().decode(),
    "etl": ugc_etl.metrics.Metrics().render().decode(),
}
CLICKHOUSE = "../infra/clickhouse-keeper"
OF_CLICKHOUSE = {
    "up",
    "ClickHouseMetrics_ReadonlyReplica",
    # Of ServerAsynchronousMetrics.cpp and KeeperAsynchronousMetrics.cpp, which the engine of these
    # tests does not have.
    "ClickHouseAsyncMetrics_ReplicasMaxAbsoluteDelay",
    "ClickHouseAsyncMetrics_MaxPartCountForPartition",
    "ClickHouseAsyncMetrics_DiskAvailable_default",
    "ClickHouseAsyncMetrics_DiskTotal_default",
    "ClickHouseAsyncMetrics_KeeperIsLeader",
    "ClickHouseAsyncMetrics_KeeperSyncedFollowers",
    # The kubelet's.
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
}
JOBS = {"ugc-api": "ugc-api", "etl": "default/ugc-etl", CLICKHOUSE: "default/ugc-clickhouse"}
LIMITS = {"ugc-api": 320 * 2**20, "etl": 512 * 2**20}
charts = pytest.mark.parametrize("chart", METRICS)
all_charts = pytest.mark.parametrize("chart", JOBS)


def rules(helm: Helm, chart: str, more: dict[str, Any] | None = None) -> list[Object]:
    scenario = "production" if chart == CLICKHOUSE else "strimzi"
    (group,) = helm.render(chart, scenario, more=more).one("PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


def exposed(chart: str) -> set[str]:
    """Names of series that the service has, with the suffixes of their types."""
    if chart == CLICKHOUSE:
        return OF_CLICKHOUSE
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    return {
        name + suffix
        for name, kind in re.findall(
            r"^# TYPE (\S+) (counter|gauge|histogram)$", METRICS[chart], re.M
        )
        for suffix in suffixes[kind]
    }


@all_charts
def test_every_metric_exists_and_is_of_this_release(helm: Helm, chart: str) -> None:
    for rule in rules(helm, chart):
        series = re.findall(r"([A-Za-z_]+)\{([^}]*)\}", rule["expr"])
        assert series
        for name, selector in series:
            assert name in exposed(chart) | {"up"}, rule["alert"]
            ours = f'namespace="default", job="{JOBS[chart]}"'
            if name.startswith("kubelet"):
                ours = 'namespace="default", persistentvolumeclaim=~"data-ugc-clickhouse-keeper-.*"'
            assert selector.startswith(ours), rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert "SELECTOR" not in rule["expr"]
        assert not re.search(r"[A-Z]{4}|_[A-Z]{3}", rule["expr"] + rule["annotations"]["summary"])


@all_charts
def test_labels_of_summaries_survive_the_expression(helm: Helm, chart: str) -> None:
    for rule in rules(helm, chart):
        said = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        kept = re.search(r"by \(([^)]*)\)", rule["expr"])
        aggregated = kept or re.search(r"\bsum\(", rule["expr"])
        assert not aggregated or said <= set(re.findall(r"\w+", kept[1] if kept else ""))


@charts
def test_the_limit_is_the_pods(helm: Helm, chart: str) -> None:
    def limit(value: str | None) -> list[str]:
        more = {"pod.resources.limits": {"memory": value} if value else None}
        return [
            rule["expr"].rpartition(" ")[2]
            for rule in rules(helm, chart, more)
            if rule["alert"].endswith("MemoryNearLimit")
        ]

    (rule,) = (r for r in rules(helm, chart) if r["alert"].endswith("MemoryNearLimit"))
    assert rule["expr"].endswith(f"> 0.9 * {LIMITS[chart]}")
    assert limit("1.5Gi") == [str(1536 * 2**20)]
    assert limit("2G") == ["2000000000"]
    assert limit(None) == []


@all_charts
def test_alerts_may_be_left_out(helm: Helm, chart: str) -> None:
    names = [rule["alert"] for rule in rules(helm, chart)]
    left = rules(helm, chart, {"metrics.prometheusRule.without": names[1:]})
    assert [rule["alert"] for rule in left] == names[:1]


def test_the_engine_knows_the_metric(tmp_path: Path) -> None:
    connection = chdb.connect(str(tmp_path / "engine"))  # type: ignore[no-untyped-call]
    known = str(connection.query("SELECT metric FROM system.metrics", "TSV")).split()
    connection.close()
    asked = {n.partition("_")[2] for n in OF_CLICKHOUSE if n.startswith("ClickHouseMetrics_")}
    assert asked
    assert asked <= set(known)


def test_the_thresholds_follow_the_values(helm: Helm) -> None:
    more = {"server.mergeTree": {"parts_to_delay_insert": 300}, "keeper.replicas": 5}
    exprs = {rule["alert"]: rule["expr"] for rule in rules(helm, CLICKHOUSE, more)}
    assert exprs["ClickHouseManyParts"].endswith("> 0.7 * 300")
    assert exprs["KeeperMemberMissing"].endswith("< 4")
    exprs = {
        rule["alert"]: rule["expr"] for rule in rules(helm, CLICKHOUSE, {"server.mergeTree": None})
    }
    assert exprs["ClickHouseManyParts"].endswith("> 0.7 * 1000")
    assert exprs["KeeperMemberMissing"].endswith("< 2")


def test_every_volume_of_keeper_is_watched(helm: Helm) -> None:
    (rule,) = (r for r in rules(helm, CLICKHOUSE) if r["alert"] == "KeeperDiskNearlyFull")
    (pattern,) = set(re.findall(r'persistentvolumeclaim=~"([^"]*)"', rule["expr"]))
    keeper = helm.render(CLICKHOUSE, "production").one("StatefulSet", "ugc-clickhouse-keeper")
    (claim,) = keeper["spec"]["volumeClaimTemplates"]
    assert re.fullmatch(pattern, f"{claim['metadata']['name']}-{keeper['metadata']['name']}-1")


def test_each_is_described(helm: Helm) -> None:
    described = re.findall(r"^## (.*)$", DESCRIBED.read_text("utf-8"), re.M)
    alerts = [rule for chart in JOBS for rule in rules(helm, chart)]
    assert [rule["alert"] for rule in alerts] == described
    for rule in alerts:
        name = rule["alert"].lower()
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example.org/alerts#{name}"
        assert rule["labels"]["severity"] in ("warning", "critical")
