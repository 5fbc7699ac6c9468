"""Debian's packages without installing them: unpacked into the cache, used from there.

Nothing of the machine changes: no service is started, no file of the package manager is touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ugc_cluster import cache
from ugc_cluster.commands import run
from ugc_cluster.failure import NoClusterError

# What runs containers, what builds their images, and what makes a base for these.
_PACKAGES = (
    "buildah", "containerd", "containernetworking-plugins", "debootstrap", "iproute2", "iptables",
    "runc",
)  # fmt: skip
_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")
_OF_THE_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the packages were unpacked."""

    root: Path

    @property
    def cni(self) -> Path:
        """The network plugins."""
        return self.root / "usr" / "lib" / "cni"

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ` with the programs and libraries of the packages before the machine's own."""
        folders = ":".join(str(self.root / name) for name in _FOLDERS)
        (libraries,) = self.root.glob("usr/lib/*-linux-gnu*")
        return {
            **environ,
            "PATH": f"{folders}:{_OF_THE_SYSTEM}",
            "DEBOOTSTRAP_DIR": str(self.root / "usr" / "share" / "debootstrap"),
            "LD_LIBRARY_PATH": str(libraries),
            "XTABLES_LIBDIR": str(libraries / "xtables"),
        }


def tools(environ: Mapping[str, str], on_step: Callable[[str], None]) -> Tools:
    """The packages, fetched where they are missing. Raises NoClusterError."""
    for name in ("apt-get", "dpkg"):
        if shutil.which(name) is None:
            raise NoClusterError(
                f"containerd and runc come from Debian's packages and this machine has no {name}: "
                "use kind or minikube with Docker, or a KUBECONFIG of your own"
            )
    release = run(["dpkg", "--print-architecture"], "dpkg does not answer").strip()
    sources = [Path("/etc/os-release"), *Path("/etc/apt").glob("sources.list*")]
    files = [path for path in sources if path.is_file()]
    name = f"debian-{cache.fingerprint(files, release, *_PACKAGES)}"

    def make(target: Path) -> None:
        on_step("fetching containerd, runc and buildah from Debian's packages, once")
        _unpack(target, environ)

    return Tools(cache.made_once(cache.directory(environ), name, make))


def _unpack(target: Path, environ: Mapping[str, str]) -> None:
    state = target / "apt"
    archives = state / "archives"
    (archives / "partial").mkdir(parents=True)
    (state / "lists" / "partial").mkdir(parents=True)
    # An empty status would make apt fetch the whole system; with the machine's own, what is
    # installed is not fetched again, but for the packages named here.
    options = [
        f"-oDir::State::lists={state / 'lists'}",
        f"-oDir::Cache::archives={archives}",
        f"-oDir::Cache::pkgcache={state / 'pkgcache.bin'}",
        f"-oDir::Cache::srcpkgcache={state / 'srcpkgcache.bin'}",
        "-oAPT::Sandbox::User=root",
    ]
    quiet = {**environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    run(["apt-get", *options, "update"], "Debian's package lists cannot be had", environ=quiet)
    run(
        [
            "apt-get", *options, "install", "--download-only", "--reinstall", "--yes",
            "--no-install-recommends", *_PACKAGES,
        ],
        "Debian's packages cannot be had",
        environ=quiet,
    )  # fmt: skip
    for package in sorted(archives.glob("*.deb")):
        run(["dpkg", "-x", package, target], f"{package.name} could not be unpacked")
    shutil.rmtree(state)
    # What installing the package would do: the alternatives' links.
    for family in ("iptables", "ip6tables"):
        for program in (family, f"{family}-save", f"{family}-restore"):
            (target / "usr" / "sbin" / program).symlink_to("xtables-nft-multi")
