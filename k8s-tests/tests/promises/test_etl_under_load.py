"""Consumers come, go, and are killed under load, and every event is there once."""

from collections.abc import Callable

from load import load
from releases import Namespace

EVENTS_PER_REQUEST = 50
CAUGHT_UP_S = 90.0


def test_etl_under_load(
    namespace: Namespace, record_property: Callable[[str, object], None]
) -> None:
    namespace.start_stores(partitions=8)
    namespace.install_api("events", "--set", "replicas=1")
    namespace.install_etl("consumers", "--set", "replicas=1")
    with load(
        namespace, "events-api", requests_per_s=10, events_per_request=EVENTS_PER_REQUEST
    ) as outcome:
        record_property(
            "to_4_s", round(namespace.upgrade("consumers", "etl", "--set=replicas=4"), 1)
        )
        # One is gone for Kubernetes while its process may still run, one is told to end.
        namespace.kubectl("delete", "pod", "consumers-etl-1", "--grace-period=0", "--force")
        namespace.kubectl("delete", "pod", "consumers-etl-2")
        namespace.kubectl("rollout", "status", "statefulset/consumers-etl", "--timeout=180s")
        record_property(
            "to_1_s", round(namespace.upgrade("consumers", "etl", "--set=replicas=1"), 1)
        )
    record_property("events", outcome.events)
    assert outcome.failed == 0, outcome.failures
    with namespace.analyst() as analyst:
        caught_up_s = analyst.await_events("view_progress", outcome.events, CAUGHT_UP_S)
        record_property("caught_up_s", round(caught_up_s, 1))
    assert "Phase:          Succeeded" in namespace.helm("test", "consumers")
