"""The ClickHouse engine in this process, and databases of their own for each test."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chdb
import pytest
from ugc_etl.schema import Deployment, ServerRefused


class Engine:
    """A `SchemaClient` on a connection of its own. Values arrive as JSON has them."""

    def __init__(self, path: Path, parameters: str = "") -> None:
        self._path = path
        self._connection = chdb.connect(f"{path}?{parameters}" if parameters else str(path))  # type: ignore[no-untyped-call]

    def another(self) -> Engine:
        """A second connection to the same engine."""
        return Engine(self._path)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            answer = str(self._connection.query(sql, "JSONCompactEachRow"))
        except RuntimeError as error:
            code = re.search(r"Code: (\d+)", str(error))
            if code is None:
                raise
            raise ServerRefused(int(code[1]), f"{error}\n{sql}") from error
        return [tuple(json.loads(line)) for line in answer.splitlines()]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(tmp_path_factory.mktemp("engine"))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def engine_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Engine]:
    """An engine with parameters of its own, to be closed by who asked for it."""
    return lambda parameters: Engine(tmp_path_factory.mktemp("engine"), parameters)


_numbers = itertools.count()


@pytest.fixture
def deployment() -> Deployment:
    """A single node with databases that no other test has."""
    number = next(_numbers)
    return Deployment(f"raw_{number}", f"asked_{number}")


@pytest.fixture(scope="module")
def module_deployment() -> Deployment:
    """The same, for tests that share a schema."""
    number = next(_numbers)
    return Deployment(f"raw_{number}", f"asked_{number}")


@pytest.fixture(scope="session")
def insert() -> Callable[..., None]:
    """Insert rows of some columns into a raw table, as the ETL would: in one block, in time."""

    def insert(
        engine: Engine,
        table: str,
        rows: list[dict[str, object]],
        *,
        token: str | None = None,
        insert_by: str = "now() + 600",
    ) -> None:
        common: dict[str, object] = {"_timestamp": "2026-01-01 00:00:00.000", "_partition": 1}
        names = list({name: None for row in rows for name in [*common, *row]})
        values = ", ".join(
            "(" + ", ".join([*(_literal((common | row).get(n)) for n in names), insert_by]) + ")"
            for row in rows
        )
        settings = f"SETTINGS insert_deduplication_token = '{token}'" if token else ""
        engine.execute(
            f"INSERT INTO {table} ({', '.join(names)}, _insert_by) {settings} VALUES {values}"
        )

    return insert


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, dict):
        return str(value)  # of texts: written as a Map is
    return str(value) if isinstance(value, int) else f"'{value}'"
