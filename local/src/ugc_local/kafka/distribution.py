"""Apache Kafka's jars: which ones, and where on this machine.

`jars.lock` beside this file lists them with their SHA-256, as jgo resolved them. What is in the
local Maven repository is used from there, without a network; the rest comes from Maven Central.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

KAFKA_VERSION = "4.3.1"
_BROKER = ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION)
# Kafka's own package binds slf4j to log4j2; its artifact on Maven Central leaves that to the user.
_LOG_BINDING = ("org.apache.logging.log4j", "log4j-slf4j-impl")

# Maven Central answers in well under a second; more connections than this gain nothing.
_CONNECTIONS = 8
_TIMEOUT_S = 30


class DistributionError(Exception):
    """Kafka's jars could not be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True, order=True)
class Jar:
    """A jar of the classpath, by its Maven coordinates."""

    group: str
    artifact: str
    version: str
    sha256: str

    def path_in(self, repository: Path) -> Path:
        """Where a Maven repository keeps it."""
        folder = repository.joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def locked_jars() -> list[Jar]:
    """The classpath of the broker."""
    text = resources.files(__package__).joinpath("jars.lock").read_text()
    return [_locked_jar(line) for line in text.splitlines() if not line.startswith("#")]


def _locked_jar(line: str) -> Jar:
    coordinates, sha256 = line.split()
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, sha256)


def local_repository(environ: Mapping[str, str]) -> Path:
    """Where Maven and its kin keep jars: $M2_REPO, else ~/.m2/repository.

    It lies outside any clone, so a second clone finds the jars of the first.
    """
    chosen = environ.get("M2_REPO")
    return Path(chosen) if chosen else Path.home() / ".m2" / "repository"


def classpath(
    repository: Path, *, on_step: Callable[[str], None], jars: Iterable[Jar] | None = None
) -> list[Path]:
    """The jars of Kafka in `repository`, fetched from Maven Central where they are missing.

    Every jar is checked against the lock, and a download before it appears in the repository, so
    a broken download or two runs side by side leave no half of a jar that would be believed.
    `on_step` hears about downloads only. Raises DistributionError.
    """
    wanted = list(locked_jars() if jars is None else jars)
    missing = [jar for jar in wanted if not _is_in(repository, jar)]
    if missing:
        on_step(f"downloading Apache Kafka {KAFKA_VERSION}: {len(missing)} jars")
        _download(missing, repository)
    return [jar.path_in(repository) for jar in wanted]


def _is_in(repository: Path, jar: Jar) -> bool:
    place = jar.path_in(repository)
    return place.exists() and _sha256(place) == jar.sha256


def _download(jars: list[Jar], repository: Path) -> None:
    # jgo and what it imports cost a third of a second, which a warm start does without.
    from jgo.maven import MavenContext  # noqa: PLC0415

    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ugc-", dir=repository) as staging:
            context = MavenContext(repo_cache=Path(staging), timeout=_TIMEOUT_S)
            with ThreadPoolExecutor(_CONNECTIONS) as pool:
                fetched = list(pool.map(lambda jar: _artifact(context, jar).resolve(), jars))
            for jar, file in zip(jars, fetched, strict=True):
                _admit(jar, file, jar.path_in(repository))
    except (OSError, RuntimeError) as error:
        # OSError includes those of requests, RuntimeError is jgo's word for an artifact that no
        # repository has.
        raise DistributionError(
            f"Apache Kafka {KAFKA_VERSION} is not in {repository} and could not be fetched from "
            f"Maven Central into it (M2_REPO chooses another directory): {error}"
        ) from error


def _artifact(context: MavenContext, jar: Jar) -> Artifact:
    return context.project(jar.group, jar.artifact).at_version(jar.version).artifact()


def _admit(jar: Jar, fetched: Path, place: Path) -> None:
    found = _sha256(fetched)
    if found != jar.sha256:
        raise DistributionError(
            f"{jar} came from Maven Central with SHA-256 {found}, the lock says {jar.sha256}"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(fetched, place)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def resolve() -> list[Jar]:
    """Resolve the broker's jars anew from Maven Central's metadata; for the lock."""
    from jgo.maven import MavenContext  # noqa: PLC0415

    scratch = Path(tempfile.mkdtemp(prefix="ugc-resolve-"))
    try:
        context = MavenContext(repo_cache=scratch, timeout=_TIMEOUT_S)
        inputs, transitive = context.resolver.resolve(
            [context.create_dependency(":".join(_BROKER))]
        )
        artifacts = [dependency.artifact for dependency in [*inputs, *transitive]]
        # Not given to the resolver: it would take the binding's parent as a bill of materials,
        # and that one pins an old kafka-clients.
        log4j = next(found.version for found in artifacts if found.artifactId == "log4j-core")
        binding = context.project(*_LOG_BINDING).at_version(log4j).artifact()
        return sorted(
            Jar(found.groupId, found.artifactId, found.version, _sha256(found.resolve()))
            for found in [*artifacts, binding]
        )
    finally:
        shutil.rmtree(scratch)


def lock_text(jars: Iterable[Jar]) -> str:
    """The contents of `jars.lock`."""
    lines = [f"{jar} {jar.sha256}" for jar in jars]
    heading = "# Made by `python -m ugc_local.kafka.distribution > jars.lock`; do not edit."
    return "\n".join([heading, *lines, ""])


if __name__ == "__main__":
    print(lock_text(resolve()), end="")
