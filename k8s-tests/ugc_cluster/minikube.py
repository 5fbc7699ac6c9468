"""Clusters of minikube in docker, https://minikube.sigs.k8s.io; a cluster is a profile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ugc_cluster.commands import run

PROVIDER = "minikube"
_READY = "4m"


def create(name: str, kubeconfig: Path, environ: Mapping[str, str]) -> None:
    """Ready, with its own kubeconfig; the user's is not touched. Raises NoClusterError."""
    run(
        [
            "minikube", "start", "--profile", name, "--driver=docker", "--interactive=false",
            "--wait=all", f"--wait-timeout={_READY}",
        ],
        "minikube made no cluster",
        environ=_own(kubeconfig, environ),
    )  # fmt: skip


def load(name: str, archive: Path, environ: Mapping[str, str]) -> None:
    """Give the nodes the image of an archive. Raises NoClusterError."""
    command = ["minikube", "image", "load", str(archive), "--profile", name]
    run(command, "minikube loaded no image", environ=environ)


def delete(name: str, kubeconfig: Path, environ: Mapping[str, str]) -> None:
    """Nothing happens if there is none. Raises NoClusterError."""
    run(
        ["minikube", "delete", "--profile", name],
        f"minikube did not delete the cluster {name}",
        environ=_own(kubeconfig, environ),
    )


def _own(kubeconfig: Path, environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, "KUBECONFIG": str(kubeconfig)}
