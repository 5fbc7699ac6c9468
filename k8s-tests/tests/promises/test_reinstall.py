"""What was uninstalled and installed again finds the data and the pseudonyms' key, and goes on."""

from collections.abc import Callable

from releases import Namespace
from viewers import page_views, send

EVENTS = 100


def test_reinstall(namespace: Namespace, record_property: Callable[[str, object], None]) -> None:
    namespace.start_stores()
    keys: list[str] = []
    ready_s: list[float] = []
    for round_ in (1, 2):
        namespace.install_api("events", "--set", "replicas=1")
        ready_s.append(namespace.install_etl("consumers", "--set", "replicas=1"))
        keys.append(namespace.secret("consumers-etl-pseudonym", "pseudonym-key"))
        with namespace.forward("events-api", 80) as api, namespace.analyst() as analyst:
            key = namespace.secret("events-api", "jwt-secret")
            assert send(api, key, page_views(EVENTS, path=f"/{round_}")) == 202
            analyst.await_events("page_view", round_ * EVENTS, 60)
        if round_ == 1:
            for release in ("events", "consumers"):
                namespace.helm("uninstall", release, "--wait", "--timeout=120s")
            namespace.kubectl("wait", "--for=delete", "pod/consumers-etl-0", "--timeout=120s")
    record_property("etl_ready_again_s", round(ready_s[1], 1))
    assert keys[0] == keys[1]
    assert "Phase:          Succeeded" in namespace.helm("test", "consumers")
