"""The platform on one machine: started in order, checked, stopped in the reverse order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ugc_events import registry

from ugc_local.clickhouse.configuration import (
    ServerPorts,
    User,
    server_argv,
    server_kind,
)
from ugc_local.credentials import ADMIN, ANALYST, WRITER, Credentials, keep_credentials
from ugc_local.deadline import Deadline
from ugc_local.health import answers_ok
from ugc_local.invocation import typed
from ugc_local.kafka.broker import BrokerPorts, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.kafka.distribution import local_repository
from ugc_local.options import StackOptions
from ugc_local.ports import LOOPBACK, choose_ports, is_free
from ugc_local.process import (
    Guard,
    Process,
    ProcessExitedError,
    ProcessIdentity,
    boot_id,
    stop_all,
)
from ugc_local.stack_error import AlreadyRunsError, StackError, as_stack_error
from ugc_local.state import (
    Endpoints,
    ProcessRecord,
    StackState,
    delete_data,
    exclusive,
    read_ports,
    read_state,
    remove_state,
    require_deletable,
    require_space,
    write_ports,
    write_state,
)
from ugc_local.stopping import STOP_GRACE_S, in_stop_order, stop_records
from ugc_local.stores import (
    NotReadyError,
    await_clickhouse,
    await_kafka,
    await_ready,
    http_url,
    start_clickhouse,
)

ETL_GROUP = "ugc-etl"
LOG_KEEPER = "log-keeper"

_LET_GO_S = 30.0
# How Java, Python and gunicorn say it.
_PORT_TAKEN = ("Address already in use", "Connection in use")

# What a child may need of the caller's environment. Settings of the services are not among it:
# a KAFKA_BOOTSTRAP_SERVERS for something else must not reach them.
_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "CLICKHOUSE_BIN", "COVERAGE_FILE"}
)

OnStep = Callable[[str], None]


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
            with as_stack_error():
                if self._options.fresh:
                    require_deletable(self._data_dir)  # before a lock is put there
                self._held.enter_context(exclusive(self._data_dir))
                self._clear_leftovers()
                require_space(self._data_dir, self._options.min_free_bytes)
                if self._options.fresh:
                    delete_data(self._data_dir)
        except BaseException:
            self._held.close()
            raise
        try:
            with as_stack_error():
                try:
                    self._start()
                except (ProcessExitedError, NotReadyError) as error:
                    if not any(words in str(error) for words in _PORT_TAKEN):
                        raise
                    # Nothing reserves a port between its choice and its server's start.
                    self._on_step("another process took a port meanwhile: starting again")
                    self._stop_processes()
                    self._start()
        except BaseException:
            self.down()
            raise

    def detach(self) -> None:
        """Leave it running behind this process, until stop_stack(data_dir); down() is idle then."""
        if self._guard is not None:
            keeper = self._guard.identity
            record = ProcessRecord(LOG_KEEPER, keeper.pid, keeper.created_s, log="")
            self._write_state(record, complete=True)
            self._guard.release(
                [process.log for process in self._processes.values()],
                max_log_bytes=self._options.max_log_bytes,
            )
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
            self._stop_processes()
        finally:
            self._held.close()

    def _stop_processes(self) -> None:
        try:
            for names in in_stop_order(list(self._processes)):
                stop_all([self._processes[name] for name in names], grace_s=STOP_GRACE_S)
                for name in names:
                    del self._processes[name]
            if self._guard is not None:
                remove_state(self._data_dir)
        finally:
            if self._guard is not None:
                self._guard.close()
                self._guard = None

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
        if state is None:
            return
        alive = state.alive()
        if state.complete and len(alive) == len(state.processes):
            raise AlreadyRunsError(
                f"a stack already runs on {self._data_dir} (API at {state.endpoints.api_url}): "
                f"stop it first with {typed('down', self._options.data_dir)}",
                state,
            )
        ended = [record.name for record in state.processes if record not in alive]
        if alive:
            why = f"{', '.join(ended)} had ended" if ended else "its start was cut short"
            self._on_step(f"{why}: starting everything again, with the data and addresses it had")
            stop_records(alive)
        else:
            self._on_step("the last run was not stopped in order: going on with its data")
            # Workers notice within a second that their master was killed, and let its port go.
            ports = read_ports(self._data_dir)
            Deadline.after(_LET_GO_S).poll(lambda: ports is None or all(map(is_free, ports.all())))
        remove_state(self._data_dir)

    def _start(self) -> None:
        ports = choose_ports(
            self._options.ports.given(), read_ports(self._data_dir), self._options.etl_consumers
        )
        write_ports(self._data_dir, ports)
        broker_ports = BrokerPorts(ports.kafka, ports.kafka_controller)
        server_ports = ServerPorts(ports.clickhouse_native, ports.clickhouse_http)
        self._credentials = keep_credentials(self._data_dir)
        self._endpoints = Endpoints(
            kafka_bootstrap=bootstrap_servers(broker_ports),
            clickhouse_host=LOOPBACK,
            clickhouse_native_port=server_ports.native,
            clickhouse_http_url=http_url(server_ports),
            clickhouse_kind=server_kind(server_argv(Path("config.xml"), self._environ)),
            api_url=f"http://{LOOPBACK}:{ports.api}",
            etl_metrics_urls=tuple(f"http://{LOOPBACK}:{port}" for port in ports.etl_metrics),
        )
        self._guard = guard = Guard()
        self._start_stores(broker_ports, server_ports, guard)
        self._start_services(ports.api, ports.etl_metrics, guard)

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
        self._write_state(complete=False)
        return process

    def _write_state(self, *more: ProcessRecord, complete: bool) -> None:
        records = (
            ProcessRecord(name, known.pid, known.identity.created_s, str(known.log))
            for name, known in self._processes.items()
        )
        write_state(
            self._data_dir, StackState(self.endpoints, (*records, *more), boot_id(), complete)
        )

    def _deadline(self) -> Deadline:
        return Deadline.after(self._options.ready_s)
