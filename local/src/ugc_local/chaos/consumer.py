"""One place for an ETL process: its two links, its process, what it says of itself."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from ugc_local.chaos.link import Link
from ugc_local.health import answers_ok
from ugc_local.ports import LOOPBACK
from ugc_local.process import Process

_ANSWER_S = 2.0
_OWNED = re.compile(rb"^etl_partitions (\S+)$", re.MULTILINE)


@dataclass(slots=True)
class Consumer:
    """A place for an ETL process, which comes and goes.

    Attributes:
        name: also of its log.
        kafka, clickhouse: the only ways it knows to the stores.
        metrics_port: of its probes.
        launch: starts its process.
        process: None while nobody is wanted here.
        starts: how often a process was started.
        befallen: while a fault has it.
        ended_by_itself: what it said last, whenever it ended and nobody had ended it.
    """

    name: str
    kafka: Link
    clickhouse: Link
    metrics_port: int
    launch: Callable[[], Process]
    process: Process | None = None
    starts: int = 0
    befallen: bool = False
    ended_by_itself: list[str] = field(default_factory=list)

    @property
    def links(self) -> tuple[Link, Link]:
        return self.kafka, self.clickhouse

    def start(self) -> None:
        """Start its process if none runs."""
        if self.process is None or self.process.exit_status() is not None:
            self.process = self.launch()
            self.starts += 1

    @property
    def is_free(self) -> bool:
        """Whether nobody is wanted here; a place whose process was killed is not free."""
        return self.process is None

    def runs(self) -> bool:
        """Whether it has a process that has not ended; a stopped one has not."""
        return self.process is not None and self.process.exit_status() is None

    def is_ready(self) -> bool:
        """Whether it runs and is ready by its own word."""
        return self.runs() and answers_ok(f"http://{LOOPBACK}:{self.metrics_port}/readyz")

    def partitions(self) -> int:
        """How many it owns by its own word; 0 where it does not answer."""
        connection = http.client.HTTPConnection(LOOPBACK, self.metrics_port, timeout=_ANSWER_S)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/metrics")
                found = _OWNED.search(connection.getresponse().read())
            except (OSError, http.client.HTTPException):
                return 0
        return int(float(found[1])) if found else 0

    def owns_some(self) -> bool:
        """Whether it owns partitions, by its own word."""
        return self.partitions() > 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.process is not None and self.process.exit_status() is None:
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def leave(self, grace_s: float) -> int:
        """SIGTERM, and its exit status; nobody is wanted here any more."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.stop(grace_s=grace_s)
        return process.exit_status() or 0

    def mend(self) -> bool:
        """Start it again if it ended by itself; whether it had to be."""
        if self.process is None or (status := self.process.exit_status()) is None:
            return False
        self.ended_by_itself.append(f"{self.name}: status {status}. {self.process.last_words(5)}")
        self.start()
        return True
