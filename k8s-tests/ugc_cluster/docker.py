"""A cluster in docker, made for the length of a block by kind or minikube."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ugc_cluster.cluster import Cluster
from ugc_cluster.commands import run
from ugc_cluster.failure import NoClusterError
from ugc_cluster.images import REPOSITORY, Source

PREFIX = "ugc-promises-"
_OWNER = "owner.pid"


class Maker(Protocol):
    """The modules kind and minikube."""

    PROVIDER: str

    def create(self, name: str, kubeconfig: Path, environ: Mapping[str, str]) -> None: ...
    def load(self, name: str, archive: Path, environ: Mapping[str, str]) -> None: ...
    def delete(self, name: str, kubeconfig: Path, environ: Mapping[str, str]) -> None: ...


def answers(environ: Mapping[str, str]) -> bool:
    """Whether docker is there and works."""
    try:
        run(["docker", "info"], "docker does not answer", environ=environ)
    except NoClusterError:
        return False
    return True


@contextlib.contextmanager
def running(
    maker: Maker,
    root: Path,
    sources: Sequence[Source],
    *,
    kubectl: Path,
    environ: Mapping[str, str],
    on_step: Callable[[str], None],
) -> Iterator[Cluster]:
    """A cluster of a new name, with the images of `sources`; deleted when the block is left.

    No other is touched but those that this made before and was killed before it deleted them: each
    has a folder below `root` with the process that it belongs to. Raises NoClusterError.
    """
    _sweep(maker, root, environ)
    name = PREFIX + secrets.token_hex(4)
    folder = _folder(maker, root) / name
    folder.mkdir(parents=True)
    (folder / _OWNER).write_text(str(os.getpid()), "utf-8")
    kubeconfig = folder / "kubeconfig"

    def load(archive: Path) -> None:
        maker.load(name, archive, environ)

    try:
        archives = [_archive(source, folder, environ, on_step) for source in sources]
        on_step(f"{maker.PROVIDER}: making the cluster {name}")
        maker.create(name, kubeconfig, environ)
        for archive in archives:
            load(archive)
            archive.unlink()
        on_step(f"{maker.PROVIDER}: images loaded")
        yield Cluster(maker.PROVIDER, kubeconfig, kubectl, load)
    finally:
        maker.delete(name, kubeconfig, environ)
        shutil.rmtree(folder)


def _folder(maker: Maker, root: Path) -> Path:
    return root / maker.PROVIDER


def _archive(
    source: Source, folder: Path, environ: Mapping[str, str], on_step: Callable[[str], None]
) -> Path:
    """The image of `source`, built by docker, which keeps its layers for the next time."""
    on_step(f"building the image {source.name}")
    run(
        ["docker", "build", *source.options, "-f", source.dockerfile, "-t", source.name, "."],
        f"docker did not build {source.name}",
        environ={**environ, "DOCKER_BUILDKIT": "1"},
        cwd=REPOSITORY,
    )
    archive = folder / f"{source.name.rpartition('/')[2].replace(':', '-')}.tar"
    command = ["docker", "save", "--output", str(archive), source.name]
    run(command, f"docker did not save {source.name}", environ=environ)
    return archive


def _sweep(maker: Maker, root: Path, environ: Mapping[str, str]) -> None:
    """Delete what killed runs have left."""
    for folder in sorted(_folder(maker, root).glob(f"{PREFIX}*")):
        if not _lives(int((folder / _OWNER).read_text("utf-8"))):
            maker.delete(folder.name, folder / "kubeconfig", environ)
            shutil.rmtree(folder)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
