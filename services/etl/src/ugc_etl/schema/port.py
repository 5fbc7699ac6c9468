"""What the schema needs of a ClickHouse client."""

from __future__ import annotations

from typing import Any, Protocol

UNKNOWN_TABLE = 60
UNKNOWN_DATABASE = 81
"""Codes of ServerRefused."""


class ServerRefused(Exception):  # noqa: N818 - named by what the server did
    """The server answered a statement with an error.

    Attributes:
        code: ClickHouse's error code, as in `system.errors`.
        message: the server's words.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"ClickHouse refused, code {code}: {message}")
        self.code = code
        self.message = message


class SchemaClient(Protocol):
    """One connection to ClickHouse that may define tables, without a default database."""

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; none for a statement without an answer.

        Raises:
            ServerRefused: the server answered with an error. Anything else the client raises
                (a time-out, a reset) passes through: applying a schema again is always safe.
        """
