"""Applying the schema: ordered, recorded, repeatable after a crash and by two at once.

ClickHouse has neither transactions over DDL nor locks, so nothing here depends on any: every
statement may be repeated (IF NOT EXISTS, CREATE OR REPLACE, ALTER ... MODIFY), and a file is
recorded after its last statement. Whoever finds a file unrecorded runs it from its beginning; two
that do so at once both record it, and the record is read as a set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ugc_etl.schema.deployment import Deployment
from ugc_etl.schema.files import SqlFile, bootstrap, migrations, repeatables
from ugc_etl.schema.port import UNKNOWN_DATABASE, UNKNOWN_TABLE, SchemaClient, ServerRefused
from ugc_etl.schema.servers import complete

_RECORD = "schema_migrations"

required_version: int = len(migrations())
"""The version that this code needs at the least. A newer one does: changes are additive."""


class SchemaError(Exception):
    """What is recorded and what this code knows contradict each other: a person must look."""


@dataclass(frozen=True, slots=True)
class Step:
    """A file that was applied and recorded, or what servers of a cluster were given.

    Attributes:
        name: the file's, or of what it was instead.
        version: of a migration; 0 for anything else.
        statements: how many were run.
    """

    name: str
    version: int
    statements: int

    def __str__(self) -> str:
        return f"applied {self.name} ({self.statements} statements)"


@dataclass(frozen=True, slots=True)
class _Recorded:
    migrations: dict[int, tuple[str, str]]  # version -> name, checksum
    repeatables: dict[str, str]  # name -> newest checksum


def current_version(client: SchemaClient, deployment: Deployment) -> int:
    """The version up to which every migration is recorded; 0 where there is no schema at all."""
    try:
        recorded = _read(client, deployment.table(_RECORD))
    except ServerRefused as refusal:
        if refusal.code in (UNKNOWN_TABLE, UNKNOWN_DATABASE):
            return 0
        raise
    version = 0
    while version + 1 in recorded.migrations:
        version += 1
    return version


def migrate(
    client: SchemaClient,
    deployment: Deployment,
    on_step: Callable[[Step], None] = lambda _: None,
) -> list[Step]:
    """Apply what is missing and return it, in order; nothing where nothing is missing.

    On a cluster a server that lacks tables or views that others have is given them first: it is
    new, or has lost its volume.

    A schema that is newer than this code is left as it is, its views too: that is what the
    migration of an older release must do while a newer one is rolled out or back.

    Args:
        client: to any one node.
        deployment: the same for everybody who migrates this database.
        on_step: told of each file once it is recorded.

    Raises:
        SchemaError: a migration was changed after it was applied, or one is missing below
            others that are recorded.
        ServerRefused: the server refused a statement; what was applied before it stays.
    """
    known = migrations()
    for statement in bootstrap().statements(deployment):
        client.execute(statement)
    recorded = _read(client, _on_every_server(deployment))
    _check(known, recorded, deployment)
    applied = []
    if given := complete(client, deployment):
        applied.append(Step("definitions that servers lacked", 0, given))
        on_step(applied[-1])
    if max(recorded.migrations, default=0) > len(known):
        return applied
    missing = [file for file in known if file.version not in recorded.migrations]
    missing += [
        file
        for file in repeatables()
        if recorded.repeatables.get(file.name) != file.checksum(deployment)
    ]
    for file in missing:
        step = _apply(client, deployment, file)
        applied.append(step)
        on_step(step)
    return applied


def _apply(client: SchemaClient, deployment: Deployment, file: SqlFile) -> Step:
    statements = file.statements(deployment)
    for statement in statements:
        client.execute(statement)
    client.execute(
        f"INSERT INTO {deployment.table(_RECORD)} (version, name, checksum)"
        f" SELECT {file.version}, '{file.name}', '{file.checksum(deployment)}'"
    )
    return Step(file.name, file.version, len(statements))


def _on_every_server(deployment: Deployment) -> str:
    # A server that has just been given the record may not have its rows yet.
    table = deployment.table(_RECORD)
    return f"clusterAllReplicas('{deployment.cluster}', {table})" if deployment.cluster else table


def _read(client: SchemaClient, record: str) -> _Recorded:
    rows = client.execute(
        f"SELECT version, name, argMax(checksum, applied_at) FROM {record} GROUP BY version, name"
    )
    recorded = _Recorded({}, {})
    for version, name, newest in rows:
        if int(version) == 0:
            recorded.repeatables[str(name)] = str(newest)
        else:
            recorded.migrations[int(version)] = (str(name), str(newest))
    return recorded


def _check(known: list[SqlFile], recorded: _Recorded, deployment: Deployment) -> None:
    for file in known:
        if file.version not in recorded.migrations:
            if any(version > file.version for version in recorded.migrations):
                raise SchemaError(
                    f"migration {file.name} is not recorded in {deployment.database}, but later"
                    " ones are: the record was altered, or two lines of development met"
                )
            continue
        name, checksum = recorded.migrations[file.version]
        if checksum != file.checksum(deployment) or name != file.name:
            raise SchemaError(
                f"migration {file.version} was applied to {deployment.database} as {name}"
                f" ({checksum[:12]}), but here it is {file.name}"
                f" ({file.checksum(deployment)[:12]}): an applied migration must not be changed;"
                " restore its file and write a new one"
            )
