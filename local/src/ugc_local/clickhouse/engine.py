"""The chdb engine, of which a process has one, on one data path.

Every query has a session of its own: a fresh engine connection with its own settings (about a
millisecond), so nothing is left to reset. Only a connection with temporary tables is kept, and
put back in order after each query.
"""

import fcntl
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # writes only

from chdb import _chdb

from ugc_local.clickhouse.configuration import ServerConfiguration, engine_settings
from ugc_local.clickhouse.engine_session import KeptConnection, Session, engine_errors
from ugc_local.clickhouse.errors import EngineStartError, QueryError
from ugc_local.clickhouse.quoting import quote_string


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
            with engine_errors():
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
            session = Session(
                connection,
                query_id,
                comment,
                usable,
                self.spool_directory,
                kill=self.kill,
                release=self.release,
            )
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
        with self._lock, engine_errors():
            self._control.query(f"KILL QUERY WHERE {where} ASYNC", "Null", params={})

    def kill_all(self) -> None:
        """Stop every query."""
        with self._lock, engine_errors():
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
        with engine_errors():
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


def _connect(address: str) -> Any:
    connect = _chdb.connect  # type: ignore[attr-defined] # its stub leaves it out
    with engine_errors():
        return connect(address)


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
