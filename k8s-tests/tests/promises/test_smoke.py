"""From nothing to an analyst's answer, and away again."""

import time
from collections.abc import Callable

import pytest
from releases import Namespace
from viewers import ask, page_views, send

EVENTS = 500
KINDS = (
    "all", "configmaps", "secrets", "serviceaccounts", "poddisruptionbudgets", "networkpolicies",
    "persistentvolumeclaims", "ingresses",
)  # fmt: skip
SEEN = "SELECT sum(rows), sum(events) FROM analytics.events WHERE type = 'page_view' FORMAT TSV"
FRESH_S = 60
# The key that must never change; and Helm leaves what its tests ran, which has ended.
KEPT = {
    "secret/consumers-etl-pseudonym",
    "pod/consumers-etl-audit",
    "pod/events-api-send-event",
}
GONE_S = 120


@pytest.mark.timeout(3600)
def test_smoke(namespace: Namespace, record_property: Callable[[str, object], None]) -> None:
    def measured(name: str, seconds: float) -> None:
        record_property(name, round(seconds, 1))

    measured("stores_ready_s", namespace.start_stores())
    before = namespace.objects(KINDS)
    measured("api_ready_s", namespace.install_api("events"))
    measured("etl_ready_s", namespace.install_etl("consumers"))

    with (
        namespace.forward("events-api", 80) as api,
        namespace.forward("clickhouse", 8123) as clickhouse,
    ):
        key = namespace.secret("events-api", "jwt-secret")
        password = namespace.secret("clickhouse", "analyst")
        events = page_views(EVENTS, path="/smoke")
        assert send(api, key, events) == 202
        acknowledged = time.monotonic()
        while ask(clickhouse, password, SEEN).split() != [str(EVENTS)] * 2:
            assert time.monotonic() - acknowledged < FRESH_S, ask(clickhouse, password, SEEN)
            time.sleep(0.1)
        measured("event_to_analyst_s", time.monotonic() - acknowledged)

    began = time.monotonic()
    assert "Phase:          Succeeded" in namespace.helm("test", "events")
    assert "Phase:          Succeeded" in namespace.helm("test", "consumers")
    measured("helm_tests_s", time.monotonic() - began)

    began = time.monotonic()
    for release in ("events", "consumers"):
        namespace.helm("uninstall", release, "--wait", "--timeout=120s")
    while (left := namespace.objects(KINDS) - before) != KEPT:
        assert time.monotonic() - began < GONE_S, left - KEPT or f"not kept: {KEPT - left}"
        time.sleep(0.25)
    measured("uninstall_s", time.monotonic() - began)
