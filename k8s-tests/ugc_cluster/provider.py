"""Which cluster: one that exists if we are told to use it, else one that we make."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugc_cluster import debian, docker, images, kind, minikube, node, programs
from ugc_cluster.cluster import Cluster
from ugc_cluster.commands import run
from ugc_cluster.failure import NoClusterError

CONSENT = "UGC_K8S_USE_KUBECONFIG"
LOAD = "UGC_K8S_LOAD"
PROVIDER = "UGC_K8S_PROVIDER"
NODE = "node"
LACKING = 3
"""Exit status: no cluster here. Others are of faults."""
MAKERS: dict[str, docker.Maker] = {"kind": kind, "minikube": minikube}
Step = Callable[[str], None]


@contextlib.contextmanager
def provided(environ: Mapping[str, str], state: Path, on_step: Step) -> Iterator[Cluster]:
    """A cluster for the length of the block, with the platform's images. Raises NoClusterError.

    A kubeconfig alone is no consent: it may lead to anybody's cluster.
    """
    if why := missing(environ):
        raise NoClusterError(why)
    if environ.get(CONSENT) == "yes":
        yield _existing(environ)
        return
    chosen = environ.get(PROVIDER) or _found(environ)
    made = (
        _in_docker(MAKERS[chosen], environ, state, on_step)
        if chosen in MAKERS
        else _node(environ, state, on_step)
    )
    with made as cluster:
        yield cluster


def missing(environ: Mapping[str, str]) -> str:
    """What this machine lacks for a cluster, in a sentence; empty if one can be tried."""
    if environ.get(CONSENT) == "yes":
        kubeconfig = environ.get("KUBECONFIG", "")
        if not Path(kubeconfig).is_file():
            return f"{CONSENT}=yes, but KUBECONFIG={kubeconfig!r} names no file"
        if not _program("kubectl", environ):
            return "a cluster of your own is used by kubectl, and there is none on PATH"
        return ""
    chosen = environ.get(PROVIDER) or _found(environ)
    if chosen in MAKERS:
        lacks = [name for name in (chosen, "kubectl") if not _program(name, environ)]
        return f"a cluster of {chosen} needs {' and '.join(lacks)} on PATH" if lacks else ""
    if chosen != NODE:
        return f"{PROVIDER}={chosen!r} is none of {NODE}, {', '.join(MAKERS)}"
    if platform.system() != "Linux" or os.geteuid() != 0 or not _may_administer():
        return (
            "a node of our own needs Linux and root that may mount (CAP_SYS_ADMIN): run it so, or "
            f"where docker is with kind or minikube, or name a cluster by KUBECONFIG and "
            f"{CONSENT}=yes"
        )
    return ""


def _program(name: str, environ: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environ.get("PATH", ""))


def _kubectl(environ: Mapping[str, str]) -> Path:
    found = _program("kubectl", environ)
    assert found  # noqa: S101 - `missing` has looked
    return Path(found)


def _may_administer() -> bool:
    status = Path("/proc/self/status").read_text("utf-8")
    effective = int(next(x for x in status.splitlines() if x.startswith("CapEff")).split()[1], 16)
    return bool(effective >> 21 & 1)  # CAP_SYS_ADMIN, capabilities(7)


def _found(environ: Mapping[str, str]) -> str:
    """What makes a cluster on this machine."""
    if docker.answers(environ):
        for name in MAKERS:
            if _program(name, environ):
                return name
    return NODE


@contextlib.contextmanager
def _in_docker(
    maker: docker.Maker, environ: Mapping[str, str], state: Path, on_step: Step
) -> Iterator[Cluster]:
    jars = state / "jars"
    images.gather_jars(environ, jars, on_step)
    sources = images.sources(jars)
    with docker.running(
        maker, state, sources, kubectl=_kubectl(environ), environ=environ, on_step=on_step
    ) as cluster:
        yield cluster


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a node of our own is made of, built or found in the cache."""

    tools: debian.Tools
    programs: Path
    system_archives: Sequence[Path]
    platform_archives: Sequence[Path]


def _parts(environ: Mapping[str, str], on_step: Step) -> _Parts:
    tools = debian.tools(environ, on_step)
    built = programs.programs(environ, on_step)
    builder = images.Builder(environ, tools.environ(environ), on_step)
    return _Parts(tools, built, builder.system_archives(built), builder.platform_archives())


@contextlib.contextmanager
def _node(environ: Mapping[str, str], state: Path, on_step: Step) -> Iterator[Cluster]:
    parts = _parts(environ, on_step)
    with node.running(
        state,
        programs=parts.programs,
        tools=parts.tools,
        system_archives=parts.system_archives,
        environ=environ,
        on_step=on_step,
    ) as cluster:
        for archive in parts.platform_archives:
            cluster.load(archive)
        on_step("node: images loaded")
        yield cluster


def _existing(environ: Mapping[str, str]) -> Cluster:
    """The cluster of KUBECONFIG; its nodes have the images, unless LOAD says how they get them."""
    kubectl = _kubectl(environ)

    def load(archive: Path) -> None:
        words = [word.replace("{}", str(archive)) for word in shlex.split(environ[LOAD])]
        run(words, f"{LOAD} failed", environ=environ)

    cluster = Cluster("existing", Path(environ["KUBECONFIG"]), kubectl, load)
    if environ.get(LOAD):
        tools = debian.tools(environ, print)
        for archive in images.Builder(environ, tools.environ(environ), print).platform_archives():
            load(archive)
    return cluster


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """For who runs the promises only where they can be: the exit status, after what is missing.

    With `build`, everything that takes long the first time is built for the next cluster.
    """
    if why := missing(environ):
        print(why, file=sys.stderr)
        return LACKING
    own = environ.get(CONSENT) != "yes" and (environ.get(PROVIDER) or _found(environ)) == NODE
    if arguments == ["build"] and own:
        _parts(environ, lambda step: print(step, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
