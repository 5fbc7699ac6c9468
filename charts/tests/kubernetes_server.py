"""As much of a Kubernetes API server as Helm asks when it renders against a cluster."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KINDS = {
    "v1": {"secrets": "Secret", "configmaps": "ConfigMap", "services": "Service",
           "serviceaccounts": "ServiceAccount"},
    "apps/v1": {"deployments": "Deployment", "statefulsets": "StatefulSet"},
    "batch/v1": {"jobs": "Job"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
}  # fmt: skip


STRIMZI = {
    "kafka.strimzi.io/v1": {"kafkas": "Kafka", "kafkanodepools": "KafkaNodePool",
                            "kafkatopics": "KafkaTopic", "kafkausers": "KafkaUser"},
}  # fmt: skip
_EVERY_NAMESPACE_HAS = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"


def _resources(version: str, kinds: dict[str, str]) -> dict[str, Any]:
    resources = [
        {"name": name, "kind": kind, "namespaced": True, "verbs": ["get"]}
        for name, kind in kinds.items()
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def _groups(served: Iterable[str]) -> list[dict[str, Any]]:
    versions = [
        (version.partition("/")[0], {"groupVersion": version, "version": "v1"})
        for version in served
        if "/" in version
    ]
    return [{"name": n, "versions": [v], "preferredVersion": v} for n, v in versions]


@contextmanager
def serving(
    secrets: dict[str, dict[str, Any]], more: dict[str, dict[str, str]] | None = None
) -> Iterator[str]:
    """Serves Secrets by name, in any namespace, and knows `more` kinds; yields the URL."""
    served = KINDS | (more or {})
    fixed: dict[str, dict[str, Any]] = {
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups(served)},
        **{
            f"/{'apis' if '/' in version else 'api'}/{version}": _resources(version, kinds)
            for version, kinds in served.items()
        },
        _EVERY_NAMESPACE_HAS: {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "kube-root-ca.crt"},
        },
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/secrets/")[2]
            body = fixed.get(path) or secrets.get(name)
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            missing = {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}
            self.wfile.write(json.dumps(body or missing).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
