"""From nothing to an analyst's answer, and away again."""

import time
from collections.abc import Callable

from releases import Namespace
from viewers import page_views, send

EVENTS = 500
KINDS = (
    "all", "configmaps", "secrets", "serviceaccounts", "poddisruptionbudgets", "networkpolicies",
    "persistentvolumeclaims", "ingresses",
)  # fmt: skip
FRESH_S = 60
# The key that must never change; and Helm leaves what its tests ran, which has ended.
KEPT = {
    "secret/consumers-etl-pseudonym",
    "pod/consumers-etl-audit",
    "pod/events-api-send-event",
}
GONE_S = 120


def test_smoke(namespace: Namespace, record_property: Callable[[str, object], None]) -> None:
    def measured(name: str, seconds: float) -> None:
        record_property(name, round(seconds, 1))

    measured("stores_ready_s", namespace.start_stores())
    before = namespace.objects(KINDS)
    measured("api_ready_s", namespace.install_api("events"))
    measured("etl_ready_s", namespace.install_etl("consumers"))

    with (
        namespace.forward("events-api", 80) as api,
        namespace.analyst() as analyst,
    ):
        key = namespace.secret("events-api", "jwt-secret")
        assert send(api, key, page_views(EVENTS, path="/smoke")) == 202
        measured("event_to_analyst_s", analyst.await_events("page_view", EVENTS, FRESH_S))

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
