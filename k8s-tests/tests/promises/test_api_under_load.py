"""The API grows, is rolled and shrinks under load, and no request fails."""

import time
from collections.abc import Callable

from load import load
from releases import Namespace

REQUESTS_PER_S = 20


def test_api_under_load(
    namespace: Namespace, record_property: Callable[[str, object], None]
) -> None:
    namespace.start_stores()
    namespace.install_api("events", "--set", "replicas=1")
    with load(namespace, "events-api", requests_per_s=REQUESTS_PER_S) as outcome:
        record_property(
            "to_3_s", round(namespace.upgrade("events", "ugc-api", "--set=replicas=3"), 1)
        )
        began = time.monotonic()
        namespace.kubectl("rollout", "restart", "deployment/events-api")
        namespace.kubectl("rollout", "status", "deployment/events-api", "--timeout=180s")
        record_property("rolled_s", round(time.monotonic() - began, 1))
        record_property(
            "to_1_s", round(namespace.upgrade("events", "ugc-api", "--set=replicas=1"), 1)
        )
    record_property("requests", outcome.requests)
    record_property("failed", outcome.failed)
    record_property("slowest_s", outcome.slowest_s)
    assert outcome.failed == 0, outcome.failures
    assert outcome.requests > 10 * REQUESTS_PER_S
