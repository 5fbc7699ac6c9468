"""Which cluster: one that exists if we are told to use it, else one that we make."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ugc_cluster import debian, docker, images, kind, minikube, node, programs
from ugc_cluster.cluster import Cluster
from ugc_cluster.commands import run
from ugc_cluster.failure import NoClusterError

CONSENT = "UGC_K8S_USE_KUBECONFIG"
LOAD = "UGC_K8S_LOAD"
PROVIDER = "UGC_K8S_PROVIDER"
NODE = "node"
MAKERS: dict[str, docker.Maker] = {"kind": kind, "minikube": minikube}
Step = Callable[[str], None]


@contextlib.contextmanager
def provided(environ: Mapping[str, str], state: Path, on_step: Step) -> Iterator[Cluster]:
    """A cluster for the length of the block, with the platform's images. Raises NoClusterError.

    A kubeconfig alone is no consent: it may lead to anybody's cluster.
    """
    if environ.get(CONSENT) == "yes":
        yield _existing(environ)
        return
    chosen = environ.get(PROVIDER) or _found(environ)
    if chosen in MAKERS:
        made = _in_docker(MAKERS[chosen], environ, state, on_step)
    elif chosen == NODE:
        made = _node(environ, state, on_step)
    else:
        raise NoClusterError(f"{PROVIDER}={chosen!r} is none of {NODE}, {', '.join(MAKERS)}")
    with made as cluster:
        yield cluster


def _found(environ: Mapping[str, str]) -> str:
    """What makes a cluster on this machine."""
    if docker.answers(environ):
        for name in MAKERS:
            if shutil.which(name, path=environ.get("PATH", "")):
                return name
    return NODE


@contextlib.contextmanager
def _in_docker(
    maker: docker.Maker, environ: Mapping[str, str], state: Path, on_step: Step
) -> Iterator[Cluster]:
    jars = state / "jars"
    images.gather_jars(environ, jars, on_step)
    sources = images.sources(jars)
    with docker.running(maker, state, sources, environ=environ, on_step=on_step) as cluster:
        yield cluster


@contextlib.contextmanager
def _node(environ: Mapping[str, str], state: Path, on_step: Step) -> Iterator[Cluster]:
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise NoClusterError(
            "a node of our own needs Linux and root: run as root there, or where docker is with "
            f"kind or minikube, or name a cluster by KUBECONFIG and {CONSENT}=yes"
        )
    tools = debian.tools(environ, on_step)
    built = programs.programs(environ, on_step)
    builder = images.Builder(environ, tools.environ(environ), on_step)
    system = builder.system_archives(built)
    archives = builder.platform_archives()
    with node.running(
        state,
        programs=built,
        tools=tools,
        system_archives=system,
        environ=environ,
        on_step=on_step,
    ) as cluster:
        for archive in archives:
            cluster.load(archive)
        on_step("node: images loaded")
        yield cluster


def _existing(environ: Mapping[str, str]) -> Cluster:
    """The cluster of KUBECONFIG; its nodes have the images, unless LOAD says how they get them."""
    kubeconfig = environ.get("KUBECONFIG", "")
    if not Path(kubeconfig).is_file():
        raise NoClusterError(f"{CONSENT}=yes, but KUBECONFIG={kubeconfig!r} names no file")
    kubectl = shutil.which("kubectl", path=environ.get("PATH", ""))
    if kubectl is None:
        raise NoClusterError("a cluster of your own is used by kubectl, and there is none on PATH")

    def load(archive: Path) -> None:
        words = [word.replace("{}", str(archive)) for word in shlex.split(environ[LOAD])]
        run(words, f"{LOAD} failed", environ=environ)

    cluster = Cluster("existing", Path(kubeconfig), Path(kubectl), load)
    if environ.get(LOAD):
        tools = debian.tools(environ, print)
        for archive in images.Builder(environ, tools.environ(environ), print).platform_archives():
            load(archive)
    return cluster
