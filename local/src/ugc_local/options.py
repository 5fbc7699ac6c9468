"""What a local stack is made of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MIN_FREE_BYTES = 512 << 20
"""Less free space is not enough to start: the stores' own files and a little traffic."""


@dataclass(frozen=True, slots=True)
class Services:
    """The commands of our own services; tests put smaller ones in their place."""

    api: Sequence[str] = (
        *(sys.executable, "-m", "gunicorn"),
        *("-c", "python:ugc_api.gunicorn_conf", "ugc_api.wsgi:app"),
    )
    migrate: Sequence[str] = (sys.executable, "-m", "ugc_etl", "migrate")
    etl: Sequence[str] = (sys.executable, "-m", "ugc_etl", "run")


@dataclass(frozen=True, slots=True)
class PortChoice:
    """Ports that users of the stack see; None takes a free one."""

    kafka: int | None = None
    clickhouse_native: int | None = None
    clickhouse_http: int | None = None
    api: int | None = None

    def given(self) -> dict[str, int]:
        """Those that were chosen, by name."""
        chosen = {
            "kafka": self.kafka,
            "clickhouse_native": self.clickhouse_native,
            "clickhouse_http": self.clickhouse_http,
            "api": self.api,
        }
        return {name: port for name, port in chosen.items() if port is not None}


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What to start.

    Attributes:
        data_dir: holds all data, logs and secrets; made if need be. One stack at a time.
        partitions: of each topic of events; a directory's first start decides it.
        etl_consumers: how many ETL processes share them.
        ports: those to use.
        fresh: data of an earlier stack in data_dir are deleted first.
        min_free_bytes: of the disk; with less it does not start.
        max_log_bytes: of each log of a stack that is left running, about.
        ready_s: how long each step may take until what it starts is ready.
        services: the commands of our own services.
    """

    data_dir: Path
    partitions: int = 4
    etl_consumers: int = 2
    ports: PortChoice = field(default_factory=PortChoice)
    fresh: bool = False
    min_free_bytes: int = MIN_FREE_BYTES
    max_log_bytes: int = 16 << 20
    ready_s: float = 120.0
    services: Services = field(default_factory=Services)
