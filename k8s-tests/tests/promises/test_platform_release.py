"""The whole platform is one release beside a Kafka and a ClickHouse that were there before."""

from __future__ import annotations

import time
from collections.abc import Callable

from releases import Namespace
from viewers import page_views, send

PROFILES = ("values-kind", "values-external-kafka", "values-external-clickhouse")
SETTINGS = (
    "api.kafka.bootstrapServers=kafka:9092",
    "etl.kafka.bootstrapServers=kafka:9092",
    "etl.clickhouse.host=clickhouse",
    "etl.clickhouse.existingSecret.name=clickhouse",
    "etl.clickhouse.existingSecret.key=admin",
)
KINDS = (
    "all", "configmaps", "secrets", "serviceaccounts", "poddisruptionbudgets", "networkpolicies",
    "persistentvolumeclaims", "ingresses",
)  # fmt: skip
KEPT = {
    "secret/cinema-etl-pseudonym",
    "pod/cinema-etl-audit",
    "pod/cinema-api-send-event",
}
EVENTS = 500
GONE_S = 120


def test_platform_release(
    namespace: Namespace, record_property: Callable[[str, object], None]
) -> None:
    namespace.start_stores()
    before = namespace.objects(KINDS)
    chart = namespace.charts / "ugc-platform"
    values = [word for name in PROFILES for word in ("-f", str(chart / f"{name}.yaml"))]
    settings = [word for setting in SETTINGS for word in ("--set", setting)]

    began = time.monotonic()
    namespace.helm("install", "cinema", str(chart), "--wait", "--timeout=240s", *values, *settings)
    record_property("ready_s", round(time.monotonic() - began, 1))
    with namespace.forward("cinema-api", 80) as api, namespace.analyst() as analyst:
        key = namespace.secret("cinema-api", "jwt-secret")
        assert send(api, key, page_views(EVENTS, path="/platform")) == 202
        analyst.await_events("page_view", EVENTS, 60)
    assert "Phase:          Succeeded" in namespace.helm("test", "cinema", "--timeout=240s")

    began = time.monotonic()
    namespace.helm("uninstall", "cinema", "--wait", "--timeout=120s")
    while (left := namespace.objects(KINDS) - before) != KEPT:
        assert time.monotonic() - began < GONE_S, left ^ KEPT
        time.sleep(0.25)
    record_property("uninstall_s", round(time.monotonic() - began, 1))
