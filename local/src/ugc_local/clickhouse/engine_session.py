"""One query's connection to the chdb engine: what it runs, streams and inserts, and its errors."""

import contextlib
import re
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.external_tables import ExternalTable
from ugc_local.clickhouse.quoting import quote_identifier, quote_string
from ugc_local.clickhouse.statements import Statement

_ERROR = re.compile(
    r"Code: (?P<code>\d+)\. DB::\w*Exception: (?P<message>.*)"
    r" \((?P<name>[A-Z][A-Z0-9_]*)\)(?: \(version [^)]*\))?\s*\Z",
    re.DOTALL,
)


class Effect(Enum):
    """What a statement would do, by the engine's own analysis."""

    READS = "READ_ONLY"
    WRITES = "MUTATING"
    WRITES_ELSEWHERE = "MUTATING_GLOBAL"
    CONTROLS = "CONTROL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Classification:
    """The effect of a text, and how many statements it holds (0: it does not parse)."""

    effect: Effect
    statements: int


@dataclass(frozen=True)
class Answer:
    """A piece of a result, or all of it, in the format asked for."""

    data: bytes
    rows: int
    read_rows: int
    read_bytes: int
    written_rows: int = 0


class Insert:
    """An INSERT that takes its rows piece by piece; the engine gets them all at `finish`.

    The pieces wait in a file. The engine's own way to stream an INSERT (`send_insert`) reports
    success when a constraint, a view or the disk refused the rows, so they would be lost and
    acknowledged; from a file it reports those errors, at the same speed. Also a client that
    stalls holds no table.
    """

    def __init__(self, session: "Session", statement: Statement, input_format: str) -> None:
        """Use `Session.insert`."""
        self._session = session
        self._statement = statement
        self._format = input_format
        self._path = session.spool_directory / f"{uuid.uuid4()}.rows"
        self._file = self._path.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # `finish` has reported it
            self._file.close()
        self._path.unlink()

    def append(self, data: bytes) -> None:
        """Take the next bytes of the input format; `QueryError` 24 if there is no room."""
        try:
            self._file.write(data)
        except OSError as error:
            raise _no_room(error) from error

    def finish(self) -> int:
        """Insert, and return the number of rows written, those of views included."""
        try:
            self._file.close()
        except OSError as error:
            raise _no_room(error) from error
        path = quote_string(str(self._path))
        answer = self._session.run(self._statement.from_file(path, self._format), "Null")
        return answer.written_rows


@dataclass(frozen=True)
class Progress:
    """How far a query is: totals since its begin; `total_rows_to_read` is the engine's guess."""

    read_rows: int = 0
    read_bytes: int = 0
    total_rows_to_read: int = 0
    written_rows: int = 0
    written_bytes: int = 0


class KeptConnection:
    """A connection to the engine that outlives a query, for the temporary tables in it."""

    def __init__(self, connection: Any) -> None:
        """Use `Session.keep`."""
        self.connection = connection
        self.is_open = True

    def close(self) -> None:
        """Drop the temporary tables with the connection."""
        if self.is_open:
            self.is_open = False
            self.connection.close()


class Session:
    """One query's connection to the engine; a context manager."""

    def __init__(
        self,
        connection: Any,
        query_id: str,
        comment: str,
        kept: KeptConnection | None,
        spool_directory: Path,
        *,
        kill: Callable[[str], None],
        release: Callable[[str], None],
    ) -> None:
        """Use `Engine.open`.

        `spool_directory` is where the rows of INSERTs wait, tables that came with queries, and
        results.
        """
        self._connection = connection
        self.query_id = query_id
        self._comment = comment
        self._kept = kept
        self.spool_directory = spool_directory
        self._kill = kill
        self._release = release
        self._changed: dict[str, None] = {}
        self._tables: list[str] = []
        self.progress = Progress()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def keep(self) -> KeptConnection:
        """Let the connection outlive the session; settings are put back at its end."""
        if self._kept is None:
            self._kept = KeptConnection(self._connection)
        return self._kept

    def watch(self, on_progress: Callable[[Progress], None]) -> None:
        """Call `on_progress` about ten times a second while a query runs, in its thread."""

        def told(found: dict[str, int]) -> None:
            self.progress = Progress(**{each.name: found[each.name] for each in fields(Progress)})
            on_progress(self.progress)

        self._connection.set_progress_callback(told)

    def add(self, table: ExternalTable, structure: str) -> None:
        """Make a table that came with the query; it goes with the session.

        It is made with all rights, so `structure` is the engine's own writing, not the client's.
        """
        name = quote_identifier(table.name)
        self.run(f"CREATE TEMPORARY TABLE {name} ({structure})", "Null")
        self._tables.append(name)
        path = quote_string(str(table.path))
        self.run(f"INSERT INTO {name} FROM INFILE {path} FORMAT {table.input_format}", "Null")

    def classify(self, sql: str) -> Classification:
        """Say what `sql` would do, without running it."""
        found = self._connection.classify_query(sql)
        return Classification(Effect[_EFFECTS[found["query_class"].name]], found["statement_count"])

    def use(self, database: str) -> None:
        """Choose the current database; raises `QueryError` 81 if there is none such."""
        self.run(f"USE {quote_identifier(database)}", "Null")

    def set(self, settings: Mapping[str, str]) -> None:
        """Set settings for the rest of the session; an unknown one is `QueryError` 115."""
        if not settings:
            return
        for name in settings:
            if not name.replace(".", "_").isidentifier():
                raise QueryError(115, f"Unknown setting '{name}'.", "UNKNOWN_SETTING")
        self._changed.update(dict.fromkeys(settings))
        pairs = (f"{name} = {quote_string(value)}" for name, value in settings.items())
        self.run("SET " + ", ".join(pairs), "Null")

    def restore_comment(self, chosen: Sequence[str]) -> None:
        """Make the query known by its comment again if SET statements took another one."""
        if any("log_comment" in text for text in chosen):
            own = self.run("SELECT getSetting('log_comment')", "TabSeparatedRaw")
            comment = own.data.decode("utf-8", "surrogateescape").removesuffix("\n")
            self._comment += comment
            self.set({"log_comment": self._comment})

    def run(self, sql: str, output_format: str, params: Mapping[str, str] | None = None) -> Answer:
        """Run any statement and return its whole result."""
        with engine_errors():
            return _answer(self._connection.query(sql, output_format, params=dict(params or {})))

    def stream(
        self, sql: str, output_format: str, params: Mapping[str, str] | None = None
    ) -> Generator[Answer, None, None]:
        """Run a SELECT and yield its result piece by piece: in Native, one block a piece.

        Closing the iterator stops the query.
        """
        with engine_errors():
            handle = self._connection.send_query(sql, output_format, params=dict(params or {}))
        ended = False
        try:
            while True:
                try:
                    with engine_errors():
                        answer = _answer(self._connection.streaming_fetch_result(handle))
                except QueryError:
                    ended = True
                    raise
                if not answer.data:
                    ended = True
                    return
                yield answer
        finally:
            if not ended:
                with engine_errors():
                    self._connection.streaming_cancel_query(handle)

    def run_to_file(
        self, sql: str, output_format: str, params: Mapping[str, str] | None = None
    ) -> tuple[Path, Answer]:
        """Run a SELECT with its whole result in a new file, which is the caller's to remove."""
        path = self.spool_directory / f"{uuid.uuid4()}.result"
        target = quote_string(str(path))
        try:
            answer = self.run(
                f"{sql}\nINTO OUTFILE {target} TRUNCATE FORMAT {output_format}", "Null", params
            )
            path.touch()  # the engine makes no file for a result without a byte
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path, answer

    def insert(self, statement: Statement, input_format: str) -> Insert:
        """Begin an INSERT whose rows come piece by piece; a context manager."""
        return Insert(self, statement, input_format)

    def kill(self) -> None:
        """Stop what the session runs now; called from any thread."""
        self._kill(self._comment)

    def close(self) -> None:
        """Free the connection and the query id."""
        try:
            if self._kept is None:
                self._connection.close()
            else:
                self._put_back(self._kept)
        finally:
            self._release(self.query_id)

    def _put_back(self, kept: KeptConnection) -> None:
        """Undo what this query set; a connection on which that fails cannot be kept."""
        self._connection.set_progress_callback(None)
        names = [name for name in self._changed if not name.startswith("param_")]
        try:
            if names:
                self.run("SET " + ", ".join(f"{name} = DEFAULT" for name in names), "Null")
            for table in self._tables:
                self.run(f"DROP TEMPORARY TABLE {table}", "Null")
        except QueryError:
            kept.close()


def _no_room(error: OSError) -> QueryError:
    return QueryError(24, f"Cannot keep the rows of an INSERT: {error.strerror}")


_EFFECTS = {effect.value: effect.name for effect in Effect}


def _answer(result: Any) -> Answer:
    return Answer(
        data=result.bytes(),
        rows=result.rows_read(),
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
    )


class engine_errors:  # noqa: N801 (reads as the statement that it is)
    """Turn the engine's errors, which are text, into `QueryError`."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, RuntimeError):
            return
        found = _ERROR.search(str(error))
        if found is None:
            raise QueryError(1001, str(error), "STD_EXCEPTION") from error
        raise QueryError(int(found["code"]), found["message"], found["name"]) from error
