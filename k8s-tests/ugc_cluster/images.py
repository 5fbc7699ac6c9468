"""The images that a cluster is given, built by buildah and kept as archives by their contents."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugc_local.kafka import distribution

from ugc_cluster import cache
from ugc_cluster.commands import run
from ugc_cluster.configuration import COREDNS_IMAGE, PAUSE_IMAGE
from ugc_cluster.failure import NoClusterError

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = "docker.io/library/python:3.13-slim"
STORES_IMAGE = "localhost/ugc-stores:1"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_STAND_IN = ("trixie", "python3,python3-pip,python3-venv,ca-certificates")
_LOCKS = ("pyproject.toml", "requirements.lock", "requirements-bootstrap.lock")
NEXT_TAG = "next"
_MIGRATIONS = REPOSITORY / "services" / "etl" / "src" / "ugc_etl" / "schema" / "migrations"


@dataclass(frozen=True, slots=True)
class Source:
    """What an image is made of; `folders` and files are those whose contents it depends on."""

    name: str
    dockerfile: str
    folders: Sequence[str]
    options: Sequence[str] = ()

    def files(self) -> Iterable[Path]:
        yield REPOSITORY / self.dockerfile
        for name in _LOCKS:
            yield REPOSITORY / name
        for folder in self.folders:
            place = REPOSITORY / folder
            for path in [place, *sorted(place.rglob("*"))]:
                if path.is_file() and not {"tests", "__pycache__"} & set(path.parts):
                    yield path


def services() -> list[Source]:
    """As the charts name them: by the workspace's version."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    return [
        Source(
            f"docker.io/library/{image}:{project['version']}",
            f"services/{service}/Dockerfile",
            ["libs", f"services/{service}/src", "infra/images"],
        )
        for image, service in (("ugc-api", "ugc-api"), ("ugc-etl", "etl"))
    ]


def next_version() -> int:
    """Of the schema of the image `ugc-etl:NEXT_TAG`: one more than that of the ETL."""
    return len(list(_MIGRATIONS.glob("*.sql"))) + 1


def next_etl() -> Source:
    """The ETL of a next release, made on the ETL's image."""
    _, etl = services()
    return Source(
        f"docker.io/library/ugc-etl:{NEXT_TAG}",
        "k8s-tests/next/Dockerfile",
        [*etl.folders, etl.dockerfile, "k8s-tests/next"],
        [f"--build-arg=ETL={etl.name}", f"--build-arg=VERSION={next_version():04}"],
    )


def stores(jars: Path) -> Source:
    """Kafka and ClickHouse in one; `jars` is a Maven repository with nothing but the broker's."""
    return Source(
        STORES_IMAGE,
        "k8s-tests/stores/Dockerfile",
        ["libs", "local/src", "infra/images", "k8s-tests/stores"],
        ["--build-context", f"jars={jars}"],
    )


def sources(jars: Path) -> list[Source]:
    """Of all images; one that another is made on comes before it."""
    return [*services(), next_etl(), stores(jars)]


def gather_jars(environ: Mapping[str, str], jars: Path, on_step: Callable[[str], None]) -> None:
    """Lay the broker's jars out alone, as a repository. Raises NoClusterError."""
    shutil.rmtree(jars, ignore_errors=True)
    try:
        found = distribution.classpath(distribution.local_repository(environ), on_step=on_step)
    except distribution.DistributionError as error:
        raise NoClusterError(str(error)) from error
    for jar, path in zip(distribution.locked_jars(), found, strict=True):
        place = jar.path_in(jars)
        place.parent.mkdir(parents=True)
        shutil.copy(path, place)


class Builder:
    """buildah with a store of its own in the cache."""

    def __init__(
        self, environ: Mapping[str, str], machine: Mapping[str, str], on_step: Callable[[str], None]
    ) -> None:
        """`machine` is the environment with buildah and debootstrap on its PATH."""
        self._root = cache.directory(environ) / "images"
        self._given = environ
        self._on_step = on_step
        self._environ = {
            **machine,
            "STORAGE_DRIVER": "overlay",
            "CONTAINERS_REGISTRIES_CONF": str(self._root / "registries.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def platform_archives(self) -> list[Path]:
        """The services, the ETL of a next release and, for their stores, Kafka and ClickHouse."""
        api, etl = (self._archive(source) for source in services())

        def base() -> None:
            self._buildah("pull", "--quiet", f"docker-archive:{etl}")

        later = self._archive(next_etl(), base)
        jars = self._root / "jars"

        def gather() -> None:
            gather_jars(self._given, jars, self._on_step)

        return [api, etl, later, self._archive(stores(jars), gather)]

    @contextlib.contextmanager
    def _store_in_use(self) -> Iterator[None]:
        with (self._root / "store.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def _prune(self) -> None:
        """Let go of layers that no image has: gigabytes after some builds; not if others build."""
        with (self._root / "store.lock").open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._buildah("rmi", "--prune")

    def _archive(self, source: Source, prepare: Callable[[], None] | None = None) -> Path:
        """The image of `source` for `ctr import`. Raises NoClusterError."""
        short = source.name.rpartition("/")[2].replace(":", "-")

        def make(target: Path) -> None:
            self._on_step(f"building the image {source.name}")
            if prepare:
                prepare()
            with self._store_in_use():
                build(target)
            self._prune()

        def build(target: Path) -> None:
            self._base()
            mount = [f"--volume={_AUTHORITIES}:{_AUTHORITIES}:ro"] if _AUTHORITIES.exists() else []
            ignored = f"{source.dockerfile}.dockerignore"  # docker finds it itself
            own = [f"--ignorefile={ignored}"] if (REPOSITORY / ignored).exists() else []
            self._buildah(
                "build", "--layers", "--network=host", "--pull-never", *mount, *own,
                *source.options, "-f", source.dockerfile, "-t", source.name, ".",
            )  # fmt: skip
            self._push(source.name, target)

        return self._made(short, cache.fingerprint(source.files()), make)

    def system_archives(self, programs: Path) -> list[Path]:
        """What every node needs: what holds a pod's namespaces, and DNS."""
        archives = []
        for name, program in ((PAUSE_IMAGE, "pause"), (COREDNS_IMAGE, "coredns")):

            def make(target: Path, name: str = name, program: str = program) -> None:
                container = self._buildah("from", "scratch").strip()
                self._buildah("copy", container, str(programs / program), f"/{program}")
                self._buildah("config", "--entrypoint", json.dumps([f"/{program}"]), container)
                self._buildah("commit", "--rm", container, name)
                self._push(name, target)

            archives.append(self._made(program, programs.name, make))
        return archives

    def _made(self, image: str, contents: str, make: Callable[[Path], None]) -> Path:
        """The archive of these contents; those of others before it are not kept."""
        archives = self._root / "archives" / image
        made = cache.made_once(archives, contents, make)
        for other in archives.iterdir():
            if other.is_dir() and other != made:
                shutil.rmtree(other)
        return made / "image.tar"

    def _push(self, name: str, target: Path) -> None:
        self._buildah("push", name, f"docker-archive:{target / 'image.tar'}:{name}")

    def _base(self) -> None:
        """Pulled where its registry can be reached, else a Debian with the same Python."""
        if self._buildah("images", "--quiet", "--filter", f"reference={PYTHON}").strip():
            return
        try:
            self._buildah("pull", "--quiet", "--retry=0", PYTHON)
        except NoClusterError:
            self._stand_in()

    def _stand_in(self) -> None:
        release, packages = _STAND_IN
        self._on_step(f"{PYTHON} cannot be pulled: Debian {release} stands in for it")
        tree = self._root / "debian"
        shutil.rmtree(tree, ignore_errors=True)
        try:
            run(
                ["debootstrap", "--variant=minbase", f"--include={packages}", release, tree],
                f"Debian {release} could not be had",
                environ=self._environ,
            )
            (tree / "usr" / "bin" / "python").symlink_to("python3")
            for mark in tree.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
                mark.unlink()  # Python belongs to the image, as in the one it stands for
            container = self._buildah("from", "scratch").strip()
            self._buildah("add", "--quiet", container, str(tree), "/")
            # Of those that are mounted when images are built; of Debian's own afterwards.
            for variable in ("SSL_CERT_FILE", "PIP_CERT"):
                self._buildah("config", "--env", f"{variable}={_AUTHORITIES}", container)
            self._buildah("commit", "--quiet", "--rm", container, PYTHON)
        finally:
            shutil.rmtree(tree, ignore_errors=True)

    def _buildah(self, verb: str, *arguments: str) -> str:
        self._root.mkdir(parents=True, exist_ok=True)
        policy = self._root / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}', "utf-8")
        (self._root / "registries.conf").write_text("", "utf-8")
        return run(
            [
                "buildah", "--root", self._root / "store", "--runroot", self._root / "run",
                verb, *([f"--signature-policy={policy}"] if verb in _SIGNED else []), *arguments,
            ],
            f"buildah {verb} failed",
            environ=self._environ,
            cwd=REPOSITORY,
        )  # fmt: skip


_SIGNED = frozenset({"build", "commit", "from", "pull", "push"})
