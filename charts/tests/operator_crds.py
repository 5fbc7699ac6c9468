"""The CRDs of cert-manager and of the Prometheus operator, out of their Go modules.

A module is fetched once, from the first proxy of GOPROXY (https://go.dev/ref/mod#goproxy-protocol),
and is taken if it has the hash that go.sum would have.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import urllib.request
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FETCH_S = 60


@dataclass(frozen=True)
class Module:
    path: str
    version: str
    sum: str
    folder: str
    group: str
    kinds: tuple[str, ...]


MODULES = {
    "cert-manager.io/v1": Module(
        "github.com/cert-manager/cert-manager",
        "v1.21.2",
        "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        "deploy/crds",
        "cert-manager.io",
        ("certificates",),
    ),
    "monitoring.coreos.com/v1": Module(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd",
        "monitoring.coreos.com",
        ("podmonitors", "prometheusrules", "servicemonitors"),
    ),
}
"""By the version of the API that charts use."""


def write_crds(folder: Path) -> list[Path]:
    """The CRDs' files in `folder`."""
    written = []
    for api in MODULES:
        for kind, text in _files(api).items():
            written.append(folder / f"{kind}.yaml")
            written[-1].write_bytes(text)
    return written


@cache
def crds(api: str) -> dict[str, dict[str, Any]]:
    """Those of a version of an API, by kind."""
    found = [yaml.safe_load(text) for text in _files(api).values()]
    return {crd["spec"]["names"]["kind"]: crd for crd in found}


def _files(api: str) -> dict[str, bytes]:
    module = MODULES[api]
    with zipfile.ZipFile(_zip(module)) as archive:
        return {
            kind: archive.read(
                f"{module.path}@{module.version}/{module.folder}/{module.group}_{kind}.yaml"
            )
            for kind in module.kinds
        }


def _zip(module: Module) -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ugc-platform"
    name = hashlib.sha256(f"{module.path} {module.version} {module.sum}".encode()).hexdigest()[:12]
    file = root / "modules" / f"{name}.zip"
    if not file.exists():
        proxies = os.environ.get("GOPROXY", "").replace("|", ",").split(",")
        proxy = next((p for p in proxies if "://" in p), "https://proxy.golang.org").rstrip("/")
        address = f"{proxy}/{module.path}/@v/{module.version}.zip"
        # From wherever GOPROXY says: what comes is taken by its hash.
        with urllib.request.urlopen(address, timeout=_FETCH_S) as answer:  # noqa: S310
            fetched = answer.read()
        assert go_sum(fetched) == module.sum, f"{address} is not the module that is pinned"
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_bytes(fetched)
        partial.replace(file)
    return file


def go_sum(module: bytes) -> str:
    """As in go.sum: https://pkg.go.dev/golang.org/x/mod/sumdb/dirhash#Hash1."""
    whole = hashlib.sha256()
    with zipfile.ZipFile(io.BytesIO(module)) as archive:
        for name in sorted(archive.namelist()):
            one = hashlib.sha256(archive.read(name)).hexdigest()
            whole.update(f"{one}  {name}\n".encode())
    return "h1:" + base64.b64encode(whole.digest()).decode()
