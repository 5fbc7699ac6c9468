"""A steady load from a pod beside the API, and what came of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from releases import Namespace
from store_objects import POD_SECURITY, SECURITY
from ugc_cluster.deadline import await_true

_NAME = "load"
_PROGRAM = Path(__file__).with_name("load_program.py")
_START_S, _END_S = 60.0, 60.0


@dataclass
class Outcome:
    """Of the whole load, filled in when its block is left.

    `slowest_s` is of one request, `outage_s` from a request's first failure to its last try.
    """

    requests: int = 0
    events: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()
    slowest_s: float = 0.0
    outage_s: float = 0.0


@contextlib.contextmanager
def load(
    namespace: Namespace,
    api: str,
    *,
    requests_per_s: float,
    events_per_request: int = 1,
    until_taken: bool = False,
) -> Iterator[Outcome]:
    """Requests to the Service `api` as long as the block runs; the first has been answered.

    `until_taken`: what fails is sent again, as apps do.
    """
    environ = {
        "API_URL": f"http://{api}",
        "REQUESTS_PER_S": str(requests_per_s),
        "EVENTS_PER_REQUEST": str(events_per_request),
        "UNTIL_TAKEN": "yes" if until_taken else "no",
    }
    secret = {"name": api, "key": "jwt-secret"}
    image = namespace.kubectl(
        "get", f"deployment/{api}", "-o", "jsonpath={.spec.template.spec.containers[0].image}"
    )
    namespace.cluster.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": _NAME},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": POD_SECURITY,
                    "containers": [
                        {
                            "name": _NAME,
                            "image": image.strip(),
                            "command": ["python", "-c", _PROGRAM.read_text("utf-8")],
                            "env": [
                                *({"name": n, "value": v} for n, v in environ.items()),
                                {"name": "JWT_SECRET", "valueFrom": {"secretKeyRef": secret}},
                            ],
                            "securityContext": SECURITY,
                            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
                        }
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            }
        ],
        namespace.name,
    )
    namespace.kubectl("wait", f"pod/{_NAME}", "--for=condition=Ready", "--timeout=60s")
    await_true("the API answered no request", lambda: "first" in _said(namespace), _START_S)
    outcome = Outcome()
    yield outcome
    namespace.kubectl("exec", _NAME, "--", "touch", "/tmp/stop")  # noqa: S108 - the pod's own
    await_true("the load did not end", lambda: _said(namespace).startswith("first\n{"), _END_S)
    for name, value in json.loads(_said(namespace).splitlines()[-1]).items():
        setattr(outcome, name, value)
    namespace.kubectl("delete", f"pod/{_NAME}")


def _said(namespace: Namespace) -> str:
    return namespace.kubectl("logs", _NAME)
