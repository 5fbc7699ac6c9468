"""The chdb engine behind a small interface: sessions, streams, inserts, kills, and its errors.

One process has one engine, on one data path. Every query has a session of its own: a fresh
engine connection with its own settings (about a millisecond), so nothing is left to reset. Only a
connection with temporary tables is kept, and put back in order after each query.

It is longer than most modules: sessions, inserts and the engine are all that may touch chdb's
connections, whose results and errors are read in one way, here.
"""

import contextlib
import fcntl
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree as ET  # writes only

from chdb import _chdb

from ugc_local.clickhouse.configuration import ServerConfiguration, engine_settings
from ugc_local.clickhouse.errors import EngineStartError, QueryError
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
    elapsed_ns: int = 0


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
        engine: "Engine",
        connection: Any,
        query_id: str,
        comment: str,
        kept: KeptConnection | None,
    ) -> None:
        """Use `Engine.open`."""
        self._engine = engine
        self._connection = connection
        self.query_id = query_id
        self._comment = comment
        self._kept = kept
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
        with _engine_errors():
            return _answer(self._connection.query(sql, output_format, params=dict(params or {})))

    def stream(
        self, sql: str, output_format: str, params: Mapping[str, str] | None = None
    ) -> Generator[Answer, None, None]:
        """Run a SELECT and yield its result piece by piece: in Native, one block a piece.

        Closing the iterator stops the query.
        """
        with _engine_errors():
            handle = self._connection.send_query(sql, output_format, params=dict(params or {}))
        ended = False
        try:
            while True:
                try:
                    with _engine_errors():
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
                with _engine_errors():
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

    @property
    def spool_directory(self) -> Path:
        """Where the rows of INSERTs wait, tables that came with queries, and results."""
        return self._engine.spool_directory

    def kill(self) -> None:
        """Stop what the session runs now; called from any thread."""
        self._engine.kill(self._comment)

    def close(self) -> None:
        """Free the connection and the query id."""
        try:
            if self._kept is None:
                self._connection.close()
            else:
                self._put_back(self._kept)
        finally:
            self._engine.release(self.query_id)

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


class Engine:
    """The engine of this process."""

    def __init__(self, configuration: ServerConfiguration, config_file: Path) -> None:
        """Open the data path; raises `EngineStartError`, above all if it is in use."""
        path = configuration.data_path
        path.mkdir(parents=True, exist_ok=True)
        _refuse_a_path_in_use(path)
        self._path = str(path)
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._running: set[str] = set()
        own = path / "embedded"
        self.spool_directory = own / "inserts"
        shutil.rmtree(self.spool_directory, ignore_errors=True)  # of a server that was killed
        self.spool_directory.mkdir(parents=True)
        engine_config = own / "engine.xml"
        ET.ElementTree(engine_settings(config_file)).write(engine_config)
        again = _keep_default_database(path)
        try:
            self._control = _connect(f"{self._path}?config-file={engine_config}")
            self._replace_overlay(again=again)
            with _engine_errors():
                found = self._control.query(
                    "SELECT version(), timezone()", "TabSeparated", params={}
                )
        except QueryError as error:
            raise EngineStartError(f"The engine cannot open {path}: {error}") from error
        self.version, self.timezone = found.bytes().decode().strip().split("\t")

    def open(self, query_id: str, comment: str, kept: KeptConnection | None = None) -> Session:
        """Open a session for one query, on a connection that was kept or on a fresh one.

        `comment` is the query's `log_comment`: by it a query is killed, as the engine lets nobody
        choose its query_id. Raises `QueryError` 216 while a query of this id runs.
        """
        with self._lock:
            if query_id in self._running:
                raise QueryError(216, f"Query with id = {query_id} is already running.")
            self._running.add(query_id)
        try:
            usable = kept if kept is not None and kept.is_open else None
            connection = usable.connection if usable is not None else _connect(self._path)
            session = Session(self, connection, query_id, comment, usable)
        except QueryError:
            self.release(query_id)
            raise
        try:
            session.set({"log_comment": comment})
        except QueryError:
            session.close()
            raise
        return session

    def kill(self, comment: str) -> None:
        """Tell the engine to stop the query of this `log_comment`.

        It ends with error 394 soon after, if it still runs.
        """
        where = f"Settings['log_comment'] = {quote_string(comment)}"
        with self._lock, _engine_errors():
            self._control.query(f"KILL QUERY WHERE {where} ASYNC", "Null", params={})

    def kill_all(self) -> None:
        """Stop every query."""
        with self._lock, _engine_errors():
            self._control.query("KILL QUERY WHERE 1 ASYNC", "Null", params={})

    def release(self, query_id: str) -> None:
        """Forget a query id; its session ends."""
        with self._idle:
            self._running.discard(query_id)
            self._idle.notify_all()

    def wait_idle(self, deadline: float) -> bool:
        """Wait until no session is open; False if one still is at `deadline` (monotonic clock)."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._running, deadline - time.monotonic())

    def close(self) -> None:
        """Close the engine; every session must have ended."""
        self._control.close()

    def _replace_overlay(self, *, again: bool) -> None:
        """Make `default` a plain database.

        chdb lays its file system over it: `SELECT * FROM '/etc/passwd'` would read the file,
        readonly or not. `again` if an earlier run did so, and its database is to be kept.
        """
        with _engine_errors():
            self._control.query("DETACH DATABASE default", "Null", params={})
            self._control.query(
                "ATTACH DATABASE default" if again else "CREATE DATABASE default ENGINE = Atomic",
                "Null",
                params={},
            )


def _keep_default_database(path: Path) -> bool:
    """Whether an earlier run left a database `default` with tables, or a place for them.

    One that never had a table is forgotten: the engine's own file system would take its name at
    the start, and then attaching it is refused (code 49, no UUID mapping).
    """
    metadata = path / "metadata"
    if (metadata / "default").exists():
        return True
    (metadata / "default.sql").unlink(missing_ok=True)
    return False


def _no_room(error: OSError) -> QueryError:
    return QueryError(24, f"Cannot keep the rows of an INSERT: {error.strerror}")


def _connect(address: str) -> Any:
    connect = _chdb.connect  # type: ignore[attr-defined] # its stub leaves it out
    with _engine_errors():
        return connect(address)


_EFFECTS = {effect.value: effect.name for effect in Effect}


def _answer(result: Any) -> Answer:
    return Answer(
        data=result.bytes(),
        rows=result.rows_read(),
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
    )


class _engine_errors:  # noqa: N801 (reads as the statement that it is)
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


def _refuse_a_path_in_use(path: Path) -> None:
    """Raise if a server, this one or a real one, holds the lock on the path's `status` file."""
    try:
        status = (path / "status").open()
    except FileNotFoundError:
        return
    with status:
        try:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = re.search(r"PID: (\d+)", status.read())
            process = f" (process {owner[1]})" if owner else ""
            raise EngineStartError(
                f"Another ClickHouse server{process} already uses the data in {path}."
            ) from error
