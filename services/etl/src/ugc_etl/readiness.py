"""What must be there before the first record is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ugc_events import FAMILIES

from ugc_etl.ports import OutcomeUnknownError, RefusedError, Source
from ugc_etl.schema import (
    Deployment,
    SchemaClient,
    ServerRefused,
    current_version,
    raw_columns,
    required_version,
)


class ClockedClient(SchemaClient, Protocol):
    """A sink that can be asked, for its clock too."""

    def read_clock(self) -> None:
        """Measure the sink's clock."""


def missing(source: Source, shards: Sequence[ClockedClient], deployment: Deployment) -> str:
    """What is not there yet, on every shard, in words; empty when all is.

    Raises RefusedError where waiting cannot help.
    """
    try:
        if topics := source.missing_topics():
            return f"waiting for topics: {', '.join(topics)}"
        for client in shards:
            client.read_clock()
            version = current_version(client, deployment)
            if version < required_version:
                return (
                    f"waiting for the schema: version {version} of {deployment.database} is below "
                    f"{required_version}; `etl migrate` brings it there"
                )
            _check_columns(client, deployment)
    except (OutcomeUnknownError, ServerRefused) as error:
        return f"waiting for a store: {error}"
    return ""


def _check_columns(client: SchemaClient, deployment: Deployment) -> None:
    for family in FAMILIES:
        database, _, table = deployment.local(family.table).partition(".")
        found: dict[str, str] = dict(
            client.execute(
                "SELECT name, type FROM system.columns "
                f"WHERE database = '{database}' AND table = '{table}'"
            )
        )
        for column in raw_columns(family):
            if found.get(column.name) != column.type:
                raise RefusedError(
                    f"{database}.{table} does not fit: the column {column.name} should be "
                    f"{column.type} and is {found.get(column.name, 'missing')}"
                )
