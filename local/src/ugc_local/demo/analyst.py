"""ClickHouse as an analyst reaches it: HTTP, a user name, a password, SQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ugc_local.tools.query import AskError, ask


class QueryError(RuntimeError):
    """ClickHouse refused the query or could not be reached; the message is what it said."""


class Analyst:
    """Asks questions over HTTP, one connection a question.

    Args:
        url: of ClickHouse's HTTP interface.
        user: name of a user; with `password`.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._user = user, password

    def curl(self) -> str:
        """A command that reaches ClickHouse as this user; append a statement in quotes."""
        return f"curl -sS {self._url} -u {':'.join(self._user)} --data"

    def ask(self, sql: str, **settings: str) -> list[dict[str, Any]]:
        """Rows as dicts. 64-bit integers arrive as numbers."""
        settings.setdefault("output_format_json_quote_64bit_integers", "0")
        return [json.loads(line) for line in self._lines(sql, "JSONEachRow", settings)]

    def stream(self, sql: str) -> Iterator[list[str]]:
        """Rows as lists of texts, one at a time, in memory that does not grow."""
        for line in self._lines(sql, "TabSeparated", {}):
            yield line.decode().split("\t")

    def execute(self, sql: str) -> None:
        """Run a statement that answers nothing, such as an INSERT with its data behind it."""
        for _ in self._lines(sql, "Null", {}):
            pass

    def _lines(self, sql: str, output_format: str, settings: dict[str, str]) -> Iterator[bytes]:
        """The answer's lines without their ends. Raises QueryError, also in their middle."""
        held = b""
        try:
            pieces = ask(
                self._url, self._user, sql, default_format=output_format, settings=settings
            )
            for piece in pieces:
                *lines, held = (held + piece).split(b"\n")
                yield from lines
        except AskError as error:
            raise QueryError(str(error)) from error
        if held:
            yield held
