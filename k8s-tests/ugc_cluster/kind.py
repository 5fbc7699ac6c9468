"""Clusters of kind, https://kind.sigs.k8s.io."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ugc_cluster.commands import run

PROVIDER = "kind"
_READY = "240s"


def create(name: str, kubeconfig: Path, environ: Mapping[str, str]) -> None:
    """Ready, with its own kubeconfig; the user's is not touched. Raises NoClusterError."""
    run(
        ["kind", "create", "cluster", "--name", name, "--kubeconfig", kubeconfig, "--wait", _READY],
        "kind made no cluster",
        environ=environ,
    )


def load(name: str, archive: Path, environ: Mapping[str, str]) -> None:
    """Give the nodes the image of an archive. Raises NoClusterError."""
    command = ["kind", "load", "image-archive", str(archive), "--name", name]
    run(command, "kind loaded no image", environ=environ)


def delete(name: str, kubeconfig: Path, environ: Mapping[str, str]) -> None:
    """Nothing happens if there is none. Raises NoClusterError."""
    command = ["kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig)]
    run(command, f"kind did not delete the cluster {name}", environ=environ)
