"""Kafka and ClickHouse for a namespace, from the image of `k8s-tests/stores`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ugc_cluster.images import STORES_IMAGE

# What the restricted Pod Security Standard asks of a pod, and of its containers.
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def stores(passwords: Mapping[str, str], *, partitions: int) -> list[dict[str, Any]]:
    """Objects of one broker, `kafka`, and one server, `clickhouse`, with their Secret."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "clickhouse"},
            "stringData": dict(passwords),
        },
        *_store(
            "kafka",
            command=["python", "/opt/stores/broker.py", "/data/kafka", "kafka", str(partitions)],
            ports={"clients": 9092},
            ready={"exec": {"command": ["test", "-e", "/data/kafka/ready"]}},
            memory="768Mi",
        ),
        *_store(
            "clickhouse",
            command=["python", "/opt/stores/clickhouse.py", "/data/clickhouse"],
            ports={"native": 9000, "http": 8123},
            ready={"httpGet": {"path": "/ping", "port": 8123}},
            memory="1536Mi",
            env=[
                {
                    "name": f"{user.upper()}_PASSWORD",
                    "valueFrom": {"secretKeyRef": {"name": "clickhouse", "key": user}},
                }
                for user in ("admin", "analyst")
            ],
        ),
    ]


def _store(
    name: str,
    *,
    command: list[str],
    ports: Mapping[str, int],
    ready: Mapping[str, Any],
    memory: str,
    env: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    labels = {"app": name}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "selector": labels,
                # A broker asks itself, by the name that it gives to clients, before it is ready.
                "publishNotReadyAddresses": True,
                "clusterIP": "None",
                "ports": [{"name": port, "port": number} for port, number in ports.items()],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": name},
            "spec": {
                "serviceName": name,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": 30,
                        # So that a promise can kill its process as the kernel would.
                        "shareProcessNamespace": True,
                        "enableServiceLinks": False,
                        "automountServiceAccountToken": False,
                        "securityContext": POD_SECURITY,
                        "containers": [
                            {
                                "name": name,
                                "image": STORES_IMAGE,
                                "imagePullPolicy": "IfNotPresent",
                                "command": command,
                                "env": [*(env or []), {"name": "HOME", "value": "/data"}],
                                "readinessProbe": {**ready, "periodSeconds": 1},
                                "securityContext": SECURITY,
                                "resources": {
                                    "requests": {"cpu": "100m", "memory": "256Mi"},
                                    "limits": {"memory": memory},
                                },
                                "volumeMounts": [
                                    {"name": "data", "mountPath": "/data"},
                                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                                ],
                            }
                        ],
                        "volumes": [{"name": "tmp", "emptyDir": {}}],
                    },
                },
                "volumeClaimTemplates": [
                    {
                        "metadata": {"name": "data"},
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "2Gi"}},
                        },
                    }
                ],
            },
        },
    ]
