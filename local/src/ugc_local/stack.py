"""The platform on one machine: started in order, checked, stopped in the reverse order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ugc_events import registry

from ugc_local.clickhouse.configuration import (
    ConfigurationError,
    ServerPorts,
    User,
    server_argv,
    server_kind,
)
from ugc_local.credentials import ADMIN, ANALYST, WRITER, Credentials, keep_credentials
from ugc_local.deadline import Deadline
from ugc_local.health import answers_ok
from ugc_local.kafka.broker import BrokerPorts, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient, KafkaClientError, Topic
from ugc_local.kafka.distribution import DistributionError, local_repository
from ugc_local.options import StackOptions
from ugc_local.ports import LOOPBACK, PortTakenError, free_ports, require_free
from ugc_local.process import (
    Guard,
    Process,
    ProcessExitedError,
    ProcessIdentity,
    stop_all,
    stop_trees,
)
from ugc_local.state import (
    Endpoints,
    ProcessRecord,
    StackState,
    StateError,
    delete_data,
    exclusive,
    read_state,
    remove_state,
    require_deletable,
    write_state,
)
from ugc_local.stores import (
    NotReadyError,
    await_clickhouse,
    await_kafka,
    await_ready,
    http_url,
    start_clickhouse,
)

ETL_GROUP = "ugc-etl"
MIN_FREE_BYTES = 512 << 20
"""Less free space than this is not enough to start: the stores' own files and a little traffic."""

_STOP_GRACE_S = 15.0

# What a child may need of the caller's environment. Settings of the services are not among it:
# a KAFKA_BOOTSTRAP_SERVERS for something else must not reach them.
_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "CLICKHOUSE_BIN", "COVERAGE_FILE"}
)

OnStep = Callable[[str], None]


class StackError(Exception):
    """The stack cannot do what was asked; the message says why, with logs where they help."""


class Stack:
    """Kafka, ClickHouse, the schema, the API and the ETL's consumers, on the loopback interface.

    As a context manager it is up inside the block and stopped behind it, if not detached. Until
    then a guard stops it too when this process ends, by SIGKILL even.
    """

    def __init__(
        self,
        options: StackOptions,
        environ: Mapping[str, str],
        on_step: OnStep = lambda _step: None,
    ) -> None:
        self._options = options
        self._data_dir = options.data_dir.resolve()
        self._on_step = on_step
        self._repository = local_repository(environ)
        self._environ = {
            name: value
            for name, value in environ.items()
            if name in _PASSED_ON or name.startswith("PYTHON")
        }
        self._held = ExitStack()
        self._guard: Guard | None = None
        self._processes: dict[str, Process] = {}
        self._endpoints: Endpoints | None = None
        self._credentials: Credentials | None = None

    @property
    def endpoints(self) -> Endpoints:
        """Where everything listens, once up() has begun."""
        if self._endpoints is None:
            raise StackError("the stack is not up")
        return self._endpoints

    @property
    def kafka_bootstrap(self) -> str:
        return self.endpoints.kafka_bootstrap

    @property
    def clickhouse_native(self) -> tuple[str, int]:
        return self.endpoints.clickhouse_host, self.endpoints.clickhouse_native_port

    @property
    def clickhouse_http_url(self) -> str:
        return self.endpoints.clickhouse_http_url

    @property
    def api_url(self) -> str:
        return self.endpoints.api_url

    @property
    def credentials(self) -> Credentials:
        if self._credentials is None:
            raise StackError("the stack is not up")
        return self._credentials

    @property
    def processes(self) -> Mapping[str, Process]:
        """By name: clickhouse, kafka, api, etl-1, etl-2 …"""
        return self._processes

    def identities(self) -> dict[str, ProcessIdentity]:
        """By name, for a MemorySampler."""
        return {name: process.identity for name, process in self._processes.items()}

    def require_running(self) -> None:
        """Raise StackError, with its last log lines, if any process has ended."""
        for process in self._processes.values():
            try:
                process.require_running()
            except ProcessExitedError as error:
                raise StackError(str(error)) from error

    def up(self) -> None:
        """Start everything and return when all of it is ready.

        Data of an earlier run is kept and continued. Raises StackError, and then nothing is left
        running; so too when it is interrupted.
        """
        try:
            with _as_stack_error():
                if self._options.fresh:
                    require_deletable(self._data_dir)  # before a lock is put there
                self._held.enter_context(exclusive(self._data_dir))
                self._clear_leftovers()
                if self._options.fresh:
                    delete_data(self._data_dir)
        except BaseException:
            self._held.close()
            raise
        try:
            with _as_stack_error():
                self._start()
        except BaseException:
            self.down()
            raise

    def detach(self) -> None:
        """Leave it running behind this process, until stop_stack(data_dir); down() is idle then."""
        if self._guard is not None:
            self._guard.release()
            self._guard = None
        self._processes.clear()
        self._held.close()

    def down(self) -> None:
        """Stop everything, to the last descendant, and return when it is gone. Data stays."""
        try:
            if self._processes:
                self._on_step("stopping")
        finally:
            self._stop()

    def _stop(self) -> None:
        try:
            for names in _in_stop_order(list(self._processes)):
                stop_all([self._processes[name] for name in names], grace_s=_STOP_GRACE_S)
                for name in names:
                    del self._processes[name]
            if self._guard is not None:
                remove_state(self._data_dir)
        finally:
            if self._guard is not None:
                self._guard.close()
                self._guard = None
            self._held.close()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()

    def _clear_leftovers(self) -> None:
        state = read_state(self._data_dir)
        alive = state.alive() if state else []
        if state and len(alive) == len(state.processes) > 0:
            raise StackError(
                f"a stack already runs on {self._data_dir} (API at {state.endpoints.api_url}): "
                f"stop it first: make down, or ugc down --data-dir {self._options.data_dir}"
            )
        if alive:
            names = ", ".join(record.name for record in alive)
            self._on_step(f"stopping what an earlier run left behind: {names}")
            _stop_records(alive)
        remove_state(self._data_dir)

    def _start(self) -> None:
        given = self._options.ports
        kafka, controller, native, http, api, *metrics = free_ports(5 + self._options.etl_consumers)
        broker_ports = BrokerPorts(given.kafka or kafka, controller)
        server_ports = ServerPorts(given.clickhouse_native or native, given.clickhouse_http or http)
        api_port = given.api or api
        require_free(
            {
                "Kafka": broker_ports.client,
                "ClickHouse's native protocol": server_ports.native,
                "ClickHouse's HTTP": server_ports.http,
                "the API": api_port,
            }
        )
        self._credentials = keep_credentials(self._data_dir)
        self._endpoints = Endpoints(
            kafka_bootstrap=bootstrap_servers(broker_ports),
            clickhouse_host=LOOPBACK,
            clickhouse_native_port=server_ports.native,
            clickhouse_http_url=http_url(server_ports),
            clickhouse_kind=server_kind(server_argv(Path("config.xml"), self._environ)),
            api_url=f"http://{LOOPBACK}:{api_port}",
            etl_metrics_urls=tuple(f"http://{LOOPBACK}:{port}" for port in metrics),
        )
        self._guard = guard = Guard()
        self._start_stores(broker_ports, server_ports, guard)
        self._start_services(api_port, metrics, guard)

    def _start_stores(
        self, broker_ports: BrokerPorts, server_ports: ServerPorts, guard: Guard
    ) -> None:
        """Both at once: ClickHouse starts and migrates while Kafka is fetched and starts."""
        self._on_step("starting ClickHouse and Kafka")
        users = [
            User(ADMIN, self.credentials.admin_password),
            User(WRITER, self.credentials.writer_password),
            User(ANALYST, self.credentials.analyst_password, profile="analyst"),
        ]
        clickhouse = self._add(
            start_clickhouse(
                self._data_dir / "clickhouse",
                ports=server_ports,
                users=users,
                environ=self._environ,
                guard=guard,
            )
        )
        kafka = self._add(
            start_broker(
                self._data_dir / "kafka",
                ports=broker_ports,
                repository=self._repository,
                environ=self._environ,
                guard=guard,
                on_step=self._on_step,
            )
        )
        await_clickhouse(clickhouse, server_ports, self._deadline())
        self._migrate(guard)
        self._on_step("waiting for Kafka")
        client = KafkaClient(self.kafka_bootstrap)
        await_kafka(kafka, client, self._deadline())
        client.create_topics(
            Topic(spec.name, self._options.partitions if spec.partitioned else 1, spec.config)
            for spec in registry.topics()
        )

    def _migrate(self, guard: Guard) -> None:
        self._on_step("migrating the schema")
        migration = self._run(
            "migrate",
            self._options.services.migrate,
            self._clickhouse_settings(ADMIN, self.credentials.admin_password),
            guard,
        )
        try:
            status = migration.wait(self._deadline())
        finally:
            migration.stop(grace_s=1)
        if status:
            raise ProcessExitedError(
                f"the migration exited with status {status}. {migration.last_words()}"
            )

    def _start_services(self, api_port: int, metrics_ports: Sequence[int], guard: Guard) -> None:
        self._on_step(f"starting the API and {len(metrics_ports)} ETL consumers")
        api = {
            "API_BIND": f"{LOOPBACK}:{api_port}",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap,
            "JWT_SECRET": self.credentials.jwt_secret,
        }
        etl = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap,
            "KAFKA_GROUP_ID": ETL_GROUP,
            **self._clickhouse_settings(WRITER, self.credentials.writer_password),
            "PSEUDONYM_KEY": self.credentials.pseudonym_key,
            "METRICS_HOST": LOOPBACK,
        }
        command = self._options.services
        urls = {self._add(self._run("api", command.api, api, guard)): self.api_url}
        for number, port in enumerate(metrics_ports, 1):
            settings = {**etl, "METRICS_PORT": str(port)}
            process = self._run(f"etl-{number}", command.etl, settings, guard)
            urls[self._add(process)] = f"http://{LOOPBACK}:{port}"
        deadline = self._deadline()
        for process, url in urls.items():
            await_ready([process], partial(answers_ok, f"{url}/readyz"), deadline)
        self.require_running()

    def _clickhouse_settings(self, user: str, password: str) -> dict[str, str]:
        host, port = self.clickhouse_native
        return {
            "CLICKHOUSE_HOST": host,
            "CLICKHOUSE_PORT": str(port),
            "CLICKHOUSE_USER": user,
            "CLICKHOUSE_PASSWORD": password,
        }

    def _run(
        self, name: str, argv: Sequence[str], settings: Mapping[str, str], guard: Guard
    ) -> Process:
        return Process(
            name,
            argv,
            log=self._data_dir / "logs" / f"{name}.log",
            environ={**self._environ, **settings},
            cwd=self._data_dir,
            guard=guard,
        )

    def _add(self, process: Process) -> Process:
        """Keep it, and write it down at once: a crash of this process leaves its trace."""
        self._processes[process.name] = process
        write_state(
            self._data_dir,
            StackState(
                self.endpoints,
                tuple(
                    ProcessRecord(name, known.pid, known.identity.created_s, str(known.log))
                    for name, known in self._processes.items()
                ),
            ),
        )
        return process

    def _deadline(self) -> Deadline:
        return Deadline.after(self._options.ready_s)


def stop_stack(data_dir: Path, on_step: OnStep = lambda _step: None) -> list[str]:
    """Stop the stack that was left running on `data_dir`; the names of what was stopped.

    Raises StackError if another command is at work there.
    """
    if not data_dir.exists():
        return []
    with _as_stack_error(), exclusive(data_dir):
        state = read_state(data_dir)
        alive = state.alive() if state else []
        if alive:
            on_step("stopping " + ", ".join(record.name for record in alive))
            _stop_records(alive)
        remove_state(data_dir)
    return [record.name for record in alive]


def _stop_records(records: Sequence[ProcessRecord]) -> None:
    by_name = {record.name: record for record in records}
    for names in _in_stop_order(list(by_name)):
        stop_trees([by_name[name].identity for name in names], grace_s=_STOP_GRACE_S)


def _in_stop_order(names: Sequence[str]) -> list[list[str]]:
    """The services together, then the stores that they write to together."""
    stores = [name for name in names if name in {"kafka", "clickhouse"}]
    services = [name for name in names if name not in stores]
    return [group for group in (services, stores) if group]


@contextmanager
def _as_stack_error() -> Iterator[None]:
    try:
        yield
    except (
        ConfigurationError,
        DistributionError,
        KafkaClientError,
        NotReadyError,
        OSError,
        PortTakenError,
        ProcessExitedError,
        StateError,
    ) as error:
        raise StackError(str(error)) from error
