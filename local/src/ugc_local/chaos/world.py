"""What the faults happen to: one broker, one ClickHouse, and ETL processes behind links."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ugc_local.chaos.consumer import Consumer
from ugc_local.demo.analyst import Analyst
from ugc_local.kafka.client import KafkaClient
from ugc_local.process import Process

GROUP = "ugc-etl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient everybody is. Far less than in production: a fault is over sooner.

    Attributes:
        session_s: a consumer that is silent for so long is out of its group.
        insert_timeout_s: without an answer for so long, an insert is repeated.
        insert_deadline_s: ClickHouse refuses rows later than this.
        ready_s: how long anything may take to start, or to come back.
    """

    session_s: float = 3.0
    insert_timeout_s: float = 3.0
    insert_deadline_s: float = 10.0
    ready_s: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much there is of everything.

    Attributes:
        partitions: of each family's topic.
        consumers: ETL processes to begin with.
        places: the most there can be.
    """

    partitions: int = 4
    consumers: int = 3
    places: int = 4


class Store:
    """A server that can be killed and started again on its data."""

    def __init__(self, name: str, launch: Callable[[], Process], wait: Callable[[Process], None]):
        self.name = name
        self._launch = launch
        self._wait = wait
        self.process = launch()

    def wait_ready(self) -> None:
        """Raises ProcessExitedError or NotReadyError."""
        self._wait(self.process)

    def start_again(self) -> None:
        """Start it if it has ended, and wait until it answers."""
        if self.process.exit_status() is not None:
            self.process = self._launch()
        self.wait_ready()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.process.exit_status() is None:
            os.kill(self.process.pid, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that runs.

    Attributes:
        client: of the broker, past every proxy.
        admin: of ClickHouse, past every proxy.
        environ: of an ETL process that knows the stores without proxies, as `etl audit` does.
        partitions: of all families together.
    """

    directory: Path
    timing: Timing
    kafka: Store
    clickhouse: Store
    client: KafkaClient
    admin: Analyst
    consumers: tuple[Consumer, ...]
    environ: Mapping[str, str]
    partitions: int

    def running(self) -> list[Consumer]:
        """Places with a process."""
        return [consumer for consumer in self.consumers if consumer.runs()]
