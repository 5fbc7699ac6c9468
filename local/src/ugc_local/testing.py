"""A pytest plugin: one real broker, one real ClickHouse server, one real stack for a session.

They start when the first test asks for them, and stop with the session, even if pytest is
killed. Tests keep out of each other's way by names: topics with a prefix of their own, databases
of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ugc_local.clickhouse.configuration import ServerPorts, User
from ugc_local.credentials import ADMIN, ANALYST, Credentials, new_credentials
from ugc_local.deadline import Deadline
from ugc_local.kafka.broker import BrokerPorts, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient
from ugc_local.kafka.distribution import local_repository
from ugc_local.options import StackOptions
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import Guard
from ugc_local.state import Endpoints
from ugc_local.stores import await_clickhouse, await_kafka, http_url, start_clickhouse

_READY_S = 120.0
_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class KafkaService:
    """The session's broker; `client` asks it things and writes to it."""

    bootstrap_servers: str
    client: KafkaClient


@dataclass(frozen=True, slots=True)
class ClickHouseService:
    """The session's ClickHouse; `admin` and `analyst` are (user, password)."""

    host: str
    native_port: int
    http_url: str
    admin: tuple[str, str]
    analyst: tuple[str, str]


@pytest.fixture(scope="session")
def process_environ() -> Mapping[str, str]:
    """Of what is started: pytest's own. A plugin is where a program begins; it is read here."""
    return os.environ


@pytest.fixture(scope="session")
def process_guard() -> Iterator[Guard]:
    """Stops what tests started, if pytest itself is killed."""
    with Guard() as guard:
        yield guard


@pytest.fixture(scope="session")
def kafka(
    tmp_path_factory: pytest.TempPathFactory,
    process_guard: Guard,
    process_environ: Mapping[str, str],
) -> Iterator[KafkaService]:
    """A broker without topics."""
    ports = BrokerPorts(*free_ports(2))
    broker = start_broker(
        tmp_path_factory.mktemp("kafka"),
        ports=ports,
        repository=local_repository(process_environ),
        environ=process_environ,
        guard=process_guard,
        on_step=print,
    )
    try:
        client = KafkaClient(bootstrap_servers(ports))
        await_kafka(broker, client, Deadline.after(_READY_S))
        yield KafkaService(client.bootstrap_servers, client)
    finally:
        broker.stop(grace_s=_GRACE_S)


@pytest.fixture(scope="session")
def clickhouse(
    tmp_path_factory: pytest.TempPathFactory,
    process_guard: Guard,
    process_environ: Mapping[str, str],
) -> Iterator[ClickHouseService]:
    """A server without tables."""
    ports = ServerPorts(*free_ports(2))
    secrets = new_credentials()
    server = start_clickhouse(
        tmp_path_factory.mktemp("clickhouse"),
        ports=ports,
        users=[
            User(ADMIN, secrets.admin_password),
            User(ANALYST, secrets.analyst_password, profile="analyst"),
        ],
        environ=process_environ,
        guard=process_guard,
    )
    try:
        await_clickhouse(server, ports, Deadline.after(_READY_S))
        yield ClickHouseService(
            host=LOOPBACK,
            native_port=ports.native,
            http_url=http_url(ports),
            admin=(ADMIN, secrets.admin_password),
            analyst=(ANALYST, secrets.analyst_password),
        )
    finally:
        server.stop(grace_s=_GRACE_S)


@dataclass(frozen=True, slots=True)
class Platform:
    """The session's stack: everything, with the API and the ETL, and the catalogue loaded.

    Commands reach it by `--data-dir`; they share its tables, so viewers of their own keep tests
    apart.
    """

    data_dir: Path
    endpoints: Endpoints
    credentials: Credentials


@pytest.fixture(scope="session")
def platform(
    tmp_path_factory: pytest.TempPathFactory, process_environ: Mapping[str, str]
) -> Iterator[Platform]:
    """A stack in the foreground of the tests; a path with blanks and letters beyond ASCII."""
    # Here, since every test loads this plugin, and few need all of it.
    from ugc_local.demo.analyst import Analyst  # noqa: PLC0415
    from ugc_local.demo.run import load_catalogue  # noqa: PLC0415
    from ugc_local.guide import films  # noqa: PLC0415
    from ugc_local.stack import Stack  # noqa: PLC0415

    data_dir = tmp_path_factory.mktemp("the platform, платформа")
    with Stack(StackOptions(data_dir, ready_s=_READY_S), process_environ, print) as stack:
        admin = Analyst(stack.clickhouse_http_url, ADMIN, stack.credentials.admin_password)
        load_catalogue(admin, films())
        yield Platform(data_dir, stack.endpoints, stack.credentials)
