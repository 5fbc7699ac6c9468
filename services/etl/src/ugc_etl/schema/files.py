"""The SQL files of this package: found, checked, rendered, cut into statements.

They are SQL with `$name` placeholders (`Deployment.placeholders`). A statement ends with a
semicolon at the end of a line. A comment line directly above a statement may say when it is
meant: `-- on a cluster:` or `-- with a retention:`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from string import Template

from ugc_etl.schema.deployment import Deployment

_MIGRATION = re.compile(r"(?P<version>\d{4})_[a-z0-9_]+\.sql")
_REPEATABLE = re.compile(r"\d{2}_[a-z0-9_]+\.sql")
_ON_A_CLUSTER = "-- on a cluster:"
_WITH_A_RETENTION = "-- with a retention:"


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One file.

    Attributes:
        name: without the suffix; recorded, so it never changes.
        version: 1, 2, ... of a migration; 0 of a repeatable file and of the bootstrap.
        text: as written, with placeholders.
    """

    name: str
    version: int
    text: str

    def statements(self, deployment: Deployment) -> list[str]:
        """The statements for this deployment, in order, without comments and semicolons.

        Raises:
            KeyError: the file uses a placeholder that does not exist.
        """
        values = deployment.placeholders()
        return [Template(sql).substitute(values) for sql in self._meant_for(deployment)]

    def checksum(self, deployment: Deployment) -> str:
        """SHA-256 that is recorded.

        Of a migration's text as written: a deployment's values may change later, its history may
        not. Of a repeatable file as rendered: it is to be applied again when either changes.
        """
        text = self.text if self.version else ";\n".join(self.statements(deployment))
        return hashlib.sha256(text.encode()).hexdigest()

    def _meant_for(self, deployment: Deployment) -> Iterator[str]:
        for chunk in re.split(r";[ \t]*\n", self.text.rstrip() + "\n"):
            lines = [line for line in chunk.splitlines() if line.strip()]
            if _ON_A_CLUSTER in lines and not deployment.cluster:
                continue
            if _WITH_A_RETENTION in lines and deployment.raw_retention_days is None:
                continue
            sql = "\n".join(line for line in lines if not line.lstrip().startswith("--"))
            if sql:
                yield sql


def bootstrap() -> SqlFile:
    """What must be there before anything can be recorded."""
    text = resources.files("ugc_etl.schema").joinpath("bootstrap.sql").read_text("utf-8")
    return SqlFile("bootstrap", 0, text)


def migrations() -> list[SqlFile]:
    """The ordered migrations: each applied once, never edited after a release.

    Raises:
        ValueError: a file has no proper name, or the versions are not 1, 2, 3, ...
    """
    found = []
    for name, text in _read("migrations"):
        match = _MIGRATION.fullmatch(name)
        if match is None:
            raise ValueError(f"not a migration's file name: {name}")
        found.append(SqlFile(name.removesuffix(".sql"), int(match["version"]), text))
    if [file.version for file in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"versions of migrations are not 1, 2, 3, ...: {[f.name for f in found]}")
    return found


def repeatables() -> list[SqlFile]:
    """Views and settings: applied again whenever their rendered text changes.

    Raises:
        ValueError: a file has no proper name.
    """
    found = []
    for name, text in _read("repeatable"):
        if _REPEATABLE.fullmatch(name) is None:
            raise ValueError(f"not a repeatable file's name: {name}")
        found.append(SqlFile(name.removesuffix(".sql"), 0, text))
    return found


def _read(folder: str) -> list[tuple[str, str]]:
    files = resources.files("ugc_etl.schema").joinpath(folder).iterdir()
    return sorted((file.name, file.read_text("utf-8")) for file in files)
