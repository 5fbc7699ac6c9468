"""Volumes for claims: folders of the node, made beforehand, each for one claim.

Kubernetes itself makes no volumes, and a provisioner would be one more program to build. Local
volumes do what a pod that may not be root needs: they become its group's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ugc_cluster.configuration import NODE_NAME

# None is given to a second claim. A promise takes two or four, the one that has all the stores'
# charts rendered less than forty.
FOLDERS = tuple(Path("/var/lib/ugc-volumes", f"{number:03}") for number in range(120))
_CLASS = "local"


def objects() -> list[dict[str, Any]]:
    """The default StorageClass, and its volumes."""
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": _CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        *(_volume(folder) for folder in FOLDERS),
    ]


def _volume(folder: Path) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"local-{folder.name}"},
        "spec": {
            # What a claim asks for is a number here: folders have no bounds.
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": _CLASS,
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
