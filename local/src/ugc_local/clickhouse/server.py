"""The embedded server as a whole: engine, gateway, both listeners; how it starts and ends."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ugc_local.clickhouse.configuration import read_configuration
from ugc_local.clickhouse.departures import DepartureWatch
from ugc_local.clickhouse.engine import Engine
from ugc_local.clickhouse.gateway import Gateway
from ugc_local.clickhouse.http_server import HttpServer
from ugc_local.clickhouse.listener import Listener
from ugc_local.clickhouse.native_server import NativeServer

_FINISH_S = 3.0
"""How long running queries may go on after the end was asked for."""
_STOP_S = 10.0
_AGAIN_S = 0.1


class EmbeddedServer:
    """Serves from construction on; a context manager, whose end closes the engine cleanly."""

    def __init__(self, config_file: Path) -> None:
        """Open the data and listen.

        Raises `ConfigurationError`, `EngineStartError`, or OSError for a port that is taken.
        """
        configuration = read_configuration(config_file)
        host, ports = configuration.listen_host, configuration.ports
        self._engine = Engine(configuration, config_file)
        gateway = Gateway(self._engine, configuration.accounts)
        self._watch = DepartureWatch()
        self._listeners: list[Listener] = []
        try:
            self._listeners.append(NativeServer((host, ports.native), gateway, self._watch))
            self._listeners.append(
                HttpServer((host, ports.http), gateway, self._watch, time.monotonic)
            )
        except OSError:
            self.close()
            raise
        for listener in self._listeners:
            listener.start()
        self.summary = (
            f"embedded ClickHouse {self._engine.version} on {host},"
            f" native port {ports.native}, HTTP port {ports.http}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, let queries finish for a while, stop the rest, close the engine."""
        for listener in self._listeners:
            listener.stop_accepting()
        if not self._engine.wait_idle(time.monotonic() + _FINISH_S):
            for listener in self._listeners:
                listener.hang_up()
            deadline = time.monotonic() + _STOP_S
            # Again and again: a session may be between two statements.
            while time.monotonic() < deadline:
                self._engine.kill_all()
                if self._engine.wait_idle(time.monotonic() + _AGAIN_S):
                    break
        for listener in self._listeners:
            listener.hang_up()
            listener.join()
        self._watch.close()
        self._engine.close()
