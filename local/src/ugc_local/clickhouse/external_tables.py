"""Tables that a client sends along with one query, in files until the query begins."""

import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.native_block import Columns
from ugc_local.clickhouse.quoting import quote_identifier
from ugc_local.clickhouse.statements import require_format


@dataclass(frozen=True)
class ExternalTable:
    """A table's name, its structure as the client wrote it, and where its rows are."""

    name: str
    structure: str
    input_format: str
    path: Path


class ExternalTables:
    """Collects the tables of one query; a context manager, whose end removes the files."""

    def __init__(self, directory: Path) -> None:
        """Files go to `directory`."""
        self._directory = directory
        self._files = ExitStack()
        self._tables: dict[str, ExternalTable] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    @property
    def tables(self) -> tuple[ExternalTable, ...]:
        """All of them, in the order in which they came."""
        return tuple(self._tables.values())

    def add(self, name: str, structure: str, input_format: str, data: bytes) -> None:
        """Take a table, or more rows of one.

        Raises `QueryError`: 24 if there is no room, 73 for a format that cannot be one.
        """
        require_format(input_format)
        table = self._tables.get(name)
        if table is None:
            path = self._directory / f"{uuid.uuid4()}.table"
            table = ExternalTable(name, structure, input_format, path)
            self._tables[name] = table
            self._files.callback(path.unlink, missing_ok=True)
        try:
            with table.path.open("ab") as file:
                file.write(data)
        except OSError as error:
            raise QueryError(24, f"Cannot keep a table of the query: {error.strerror}") from error


def structure_of(columns: Columns) -> str:
    """Write names and types as in CREATE TABLE."""
    return ", ".join(f"{quote_identifier(name)} {type_name}" for name, type_name in columns)


def structure_of_types(types: Iterable[str]) -> str:
    """Write a structure of columns without names: they are `_1`, `_2`, …"""
    return ", ".join(f"_{number} {type_name}" for number, type_name in enumerate(types, 1))
