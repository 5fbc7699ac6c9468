"""A changed setting reaches the pods, a rollback takes it back, and no request fails meanwhile."""

from collections.abc import Callable

from load import load
from releases import Namespace

EVENTS_PER_REQUEST = 20


def setting(namespace: Namespace, workload: str, name: str) -> str:
    """As the process in a running pod sees it."""
    return namespace.kubectl("exec", workload, "--", "printenv", name).strip()


def test_upgrade(namespace: Namespace, record_property: Callable[[str, object], None]) -> None:
    namespace.start_stores()
    namespace.install_api("events", "--set", "replicas=2", "--set", "settings.API_MAX_BATCH=300")
    namespace.install_etl(
        "consumers", "--set", "replicas=2", "--set", "settings.BATCH_MAX_ROWS=900"
    )
    with load(
        namespace, "events-api", requests_per_s=10, events_per_request=EVENTS_PER_REQUEST
    ) as outcome:
        api_s = namespace.upgrade("events", "ugc-api", "--set", "settings.API_MAX_BATCH=400")
        etl_s = namespace.upgrade("consumers", "etl", "--set", "settings.BATCH_MAX_ROWS=1000")
        assert setting(namespace, "deployment/events-api", "API_MAX_BATCH") == "400"
        assert setting(namespace, "statefulset/consumers-etl", "BATCH_MAX_ROWS") == "1000"
        for release in ("events", "consumers"):
            namespace.helm("rollback", release, "1", "--wait", "--timeout=180s")
        assert setting(namespace, "deployment/events-api", "API_MAX_BATCH") == "300"
        assert setting(namespace, "statefulset/consumers-etl", "BATCH_MAX_ROWS") == "900"
    record_property("api_upgraded_s", round(api_s, 1))
    record_property("etl_upgraded_s", round(etl_s, 1))
    record_property("failed", outcome.failed)
    assert outcome.failed == 0, outcome.failures
    with namespace.analyst() as analyst:
        analyst.await_events("view_progress", outcome.events, 90)
    assert "Phase:          Succeeded" in namespace.helm("test", "consumers")
