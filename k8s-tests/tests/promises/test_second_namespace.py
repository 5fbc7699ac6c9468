"""Two releases of one name in two namespaces know nothing of each other."""

from collections.abc import Callable

from releases import Namespace
from viewers import page_views, send

EVENTS = (10, 25)


def test_second_namespace(
    namespace: Namespace,
    another_namespace: Namespace,
    record_property: Callable[[str, object], None],
) -> None:
    ready_s: list[float] = []
    for each, count in zip((namespace, another_namespace), EVENTS, strict=True):
        each.start_stores()
        each.install_api("events", "--set", "replicas=1")
        ready_s.append(each.install_etl("consumers", "--set", "replicas=1"))
        with each.forward("events-api", 80) as api:
            assert (
                send(api, each.secret("events-api", "jwt-secret"), page_views(count, path="/"))
                == 202
            )
    record_property("second_etl_ready_s", round(ready_s[1], 1))
    for each, count in zip((namespace, another_namespace), EVENTS, strict=True):
        with each.analyst() as analyst:
            analyst.await_events("page_view", count, 60)
    assert namespace.secret("events-api", "jwt-secret") != another_namespace.secret(
        "events-api", "jwt-secret"
    )
    namespace.delete()
    namespace.kubectl("wait", "--for=delete", f"namespace/{namespace.name}", "--timeout=120s")
    assert "Phase:          Succeeded" in another_namespace.helm("test", "consumers")
