"""Alerts: about metrics that there are, each with a page that tells what to do."""

import re
from typing import Any

import pytest
import ugc_api.metrics
import ugc_etl.metrics
from rendering import CHARTS, Helm, Object

DESCRIBED = CHARTS.parent / "docs" / "alerts.md"
METRICS = {
    "ugc-api": ugc_api.metrics.Metrics().render().decode(),
    "etl": ugc_etl.metrics.Metrics().render().decode(),
}
JOBS = {"ugc-api": "ugc-api", "etl": "default/ugc-etl"}
LIMITS = {"ugc-api": 320 * 2**20, "etl": 512 * 2**20}
charts = pytest.mark.parametrize("chart", METRICS)


def rules(helm: Helm, chart: str, more: dict[str, Any] | None = None) -> list[Object]:
    (group,) = helm.render(chart, "strimzi", more=more).one("PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


def exposed(chart: str) -> set[str]:
    """Names of series that the service has, with the suffixes of their types."""
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    return {
        name + suffix
        for name, kind in re.findall(
            r"^# TYPE (\S+) (counter|gauge|histogram)$", METRICS[chart], re.M
        )
        for suffix in suffixes[kind]
    }


@charts
def test_every_metric_exists_and_is_of_this_release(helm: Helm, chart: str) -> None:
    for rule in rules(helm, chart):
        series = re.findall(r"([a-z_]+)\{([^}]*)\}", rule["expr"])
        assert series
        for name, selector in series:
            assert name in exposed(chart) | {"up"}, rule["alert"]
            assert selector.startswith(f'namespace="default", job="{JOBS[chart]}"'), rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert "SELECTOR" not in rule["expr"]
        assert "MEMORY" not in rule["expr"]


@charts
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


@charts
def test_alerts_may_be_left_out(helm: Helm, chart: str) -> None:
    names = [rule["alert"] for rule in rules(helm, chart)]
    left = rules(helm, chart, {"metrics.prometheusRule.without": names[1:]})
    assert [rule["alert"] for rule in left] == names[:1]


def test_each_is_described(helm: Helm) -> None:
    described = re.findall(r"^## (.*)$", DESCRIBED.read_text("utf-8"), re.M)
    alerts = [rule for chart in ("ugc-api", "etl") for rule in rules(helm, chart)]
    assert [rule["alert"] for rule in alerts] == described
    for rule in alerts:
        name = rule["alert"].lower()
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example.org/alerts#{name}"
        assert rule["labels"]["severity"] in ("warning", "critical")
