"""ClickHouse as an analyst reaches it: HTTP, a user name, a password, SQL."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit


class QueryError(RuntimeError):
    """ClickHouse refused the query or could not be reached; the message is what it said."""


class Analyst:
    """Asks questions over HTTP, one connection a question.

    Args:
        url: of ClickHouse's HTTP interface.
        user: name of a user; with `password`.
        timeout_s: longest wait for an answer.
    """

    def __init__(self, url: str, user: str, password: str, timeout_s: float = 60.0) -> None:
        self._address = urlsplit(url)
        self._headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        self._timeout_s = timeout_s

    def curl(self) -> str:
        """A command that reaches ClickHouse as this user; append a statement in quotes."""
        user, key = self._headers["X-ClickHouse-User"], self._headers["X-ClickHouse-Key"]
        return f"curl -sS {self._address.geturl()} -u {user}:{key} --data"

    def ask(self, sql: str, **settings: str) -> list[dict[str, Any]]:
        """Rows as dicts. 64-bit integers arrive as numbers."""
        settings.setdefault("output_format_json_quote_64bit_integers", "0")
        return [json.loads(line) for line in self._lines(sql, "JSONEachRow", settings)]

    def stream(self, sql: str) -> Iterator[list[str]]:
        """Rows as lists of texts, one at a time, in memory that does not grow."""
        for line in self._lines(sql, "TabSeparated", {}):
            yield line.decode().rstrip("\n").split("\t")

    def execute(self, sql: str, data: bytes = b"") -> None:
        """Run a statement that answers nothing; `data` follows the statement of an INSERT."""
        for _ in self._lines(sql, None, {}, data):
            pass

    def _lines(
        self, sql: str, output_format: str | None, settings: dict[str, str], data: bytes = b""
    ) -> Iterator[bytes]:
        parameters = {**settings}
        if output_format:
            parameters["default_format"] = output_format
        if data:
            parameters["query"] = sql
        host, port = self._address.hostname or "127.0.0.1", self._address.port
        connection = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        try:
            connection.request(
                "POST", "/?" + urlencode(parameters), data or sql.encode(), self._headers
            )
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise QueryError(response.read().decode(errors="replace").strip())
            yield from response
        except (OSError, http.client.HTTPException) as error:
            raise QueryError(f"ClickHouse at {self._address.netloc}: {error}") from error
        finally:
            connection.close()
