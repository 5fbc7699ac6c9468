"""Secrets are in Secrets, and in no ConfigMap, no argument, no variable's text and no log."""

import base64
import json

from releases import Namespace
from viewers import page_views, send

SHORTEST = 12


def secrets_of(namespace: Namespace) -> dict[str, str]:
    """Value to where it is."""
    found = {}
    for secret in json.loads(namespace.kubectl("get", "secrets", "-o", "json"))["items"]:
        if secret["type"].startswith("helm.sh/"):
            continue  # the release itself, which has its Secrets' manifests in it
        for key, value in secret.get("data", {}).items():
            text = base64.b64decode(value).decode()
            assert len(text) >= SHORTEST
            found[text] = f"{secret['metadata']['name']}/{key}"
    return found


def test_secrets(namespace: Namespace) -> None:
    namespace.start_stores()
    namespace.install_api("events", "--set", "replicas=1")
    namespace.install_etl("consumers", "--set", "replicas=1")
    with namespace.forward("events-api", 80) as api, namespace.analyst() as analyst:
        key = namespace.secret("events-api", "jwt-secret")
        assert send(api, key, page_views(3, path="/secrets")) == 202
        analyst.await_events("page_view", 3, 60)
    secrets = secrets_of(namespace)
    assert {
        "events-api/jwt-secret",
        "clickhouse/admin",
        "consumers-etl-pseudonym/pseudonym-key",
    } <= {*secrets.values()}
    pods = namespace.kubectl("get", "pods", "-o", "name").split()
    assert len(pods) >= 4
    told = {
        "objects": namespace.kubectl(
            "get", "configmaps,pods,deployments,statefulsets,jobs,services,events", "-o", "json"
        ),
        **{pod: namespace.kubectl("logs", pod, "--all-containers") for pod in pods},
    }
    assert told["pod/consumers-etl-0"], "a log without a line shows nothing"
    leaks = [
        f"{name} in {where}"
        for where, text in told.items()
        for value, name in secrets.items()
        if value in text or base64.b64encode(value.encode()).decode() in text
    ]
    assert not leaks
