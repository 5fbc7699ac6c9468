"""The conformance suite: a ClickHouse server's documented behaviour, whichever server it is.

It runs against the server that `server_argv` picks, which it starts by itself (the binary of
CLICKHOUSE_BIN or PATH, else the embedded one), or against one that runs already:

    UGC_CONFORMANCE_NATIVE=host:9000 UGC_CONFORMANCE_HTTP=host:8123
    UGC_CONFORMANCE_USER=admin UGC_CONFORMANCE_PASSWORD=...

whose user may create databases and users. UGC_CONFORMANCE_SOAK=1 runs the long parts at length.
What a run of the whole suite found is written to build/reports/conformance.json.
"""

import http.client
import json
import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from urllib.parse import urlencode

import clickhouse_connect
import pytest
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_driver import Client
from ugc_local.clickhouse.compression import zstd
from ugc_local.clickhouse.configuration import ServerPorts, User, server_argv, server_kind
from ugc_local.deadline import Deadline
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import Guard, Process
from ugc_local.stores import await_clickhouse, start_clickhouse

HERE = Path(__file__).parent
READY_S = 120.0

ADMIN = User("admin", "the admin's secret")
ANALYST = User("analyst", "the analyst's: ?&'", "analyst")
READER = User("reader", "the reader's secret", "readonly")
LIMITS = "max_memory_usage = 500000000, max_execution_time = 60, max_result_rows = 1000000"

if "zstd" not in sys.modules:
    # clickhouse-driver asks for the package `zstd`, which has no wheels for Python 3.14.
    stand_in = ModuleType("zstd")
    stand_in.compress, stand_in.decompress = zstd.compress, zstd.decompress
    sys.modules["zstd"] = stand_in


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> int:
        return int(self.headers.get("X-ClickHouse-Exception-Code", "0"))

    @property
    def text(self) -> str:
        return self.body.decode().removesuffix("\n")

    @property
    def summary(self) -> dict[str, int]:
        found = json.loads(self.headers["X-ClickHouse-Summary"])
        return {name: int(value) for name, value in found.items()}


@dataclass
class Target:
    """A server to test: where it is, and its process if the suite has started it."""

    native: tuple[str, int]
    http: tuple[str, int]
    kind: str
    admin: User = ADMIN
    database: str = "default"
    readers: dict[str, User] = field(
        default_factory=lambda: {user.name: user for user in (ANALYST, READER)}
    )
    process: Process | None = None
    directory: Path | None = None
    open: ExitStack = field(default_factory=ExitStack)

    def client(self, user: User | None = None, **options: object) -> Client:
        """A client of the native protocol, closed with the test."""
        user = user or self.admin
        client = Client(
            *(self.native[0], self.native[1]),
            **{"user": user.name, "password": user.password, "database": self.database, **options},
        )
        self.open.callback(client.disconnect)
        return client

    def connect(self, user: User | None = None, **options: object) -> HttpClient:
        """A clickhouse-connect client over HTTP, closed with the test."""
        user = user or self.admin
        given = {"database": self.database, "username": user.name, "password": user.password}
        client = clickhouse_connect.get_client(
            host=self.http[0], port=self.http[1], dedicated_pool=True, **{**given, **options}
        )
        self.open.callback(client.close)
        return client

    def request(
        self,
        sql: str | bytes | None = None,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        user: User | None = None,
        method: str | None = None,
        path: str = "/",
        **params: str,
    ) -> Reply:
        """One HTTP request on a connection of its own. `sql` alone goes as the body of a POST."""
        user = user or self.admin
        if body is None and method is None:
            body = sql.encode() if isinstance(sql, str) else sql
        elif sql is not None:
            params["query"] = sql
        given = {"X-ClickHouse-User": user.name, "X-ClickHouse-Key": user.password}
        given = given if "Authorization" not in (headers or {}) else {}
        if self.database:
            params.setdefault("database", self.database)
        connection = http.client.HTTPConnection(*self.http, timeout=120)
        try:
            connection.request(
                method or ("GET" if body is None else "POST"),
                f"{path}?{urlencode(params)}",
                body,
                {**given, **(headers or {})},
            )
            response = connection.getresponse()
            return Reply(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def ask(self, sql: str) -> str:
        """The answer in tab-separated text, over HTTP."""
        reply = self.request(sql)
        assert reply.status == 200, reply.body
        return reply.text

    def running(self, mark: str) -> int:
        """How many queries run whose text has `mark`, apart from this one."""
        sql = f"SELECT count() FROM system.processes WHERE query LIKE '%{mark}%'"
        return int(self.ask(f"{sql} AND query NOT LIKE '%system.processes%'"))

    # What only a server can do that the suite has started.

    def start(self, guard: Guard) -> None:
        assert self.directory is not None
        ports = ServerPorts(self.native[1], self.http[1])
        self.process = start_clickhouse(
            self.directory,
            ports=ports,
            users=[ADMIN, ANALYST, READER],
            environ=os.environ,
            guard=guard,
        )
        await_clickhouse(self.process, ports, Deadline.after(READY_S))


def started(directory: Path, guard: Guard) -> Target:
    native, http_port = free_ports(2)
    kind = server_kind(server_argv(Path("config.xml"), os.environ))
    target = Target((LOOPBACK, native), (LOOPBACK, http_port), kind, directory=directory)
    target.start(guard)
    return target


def given(environ: dict[str, str]) -> Target:
    def address(name: str) -> tuple[str, int]:
        host, _, port = environ[name].rpartition(":")
        return host, int(port)

    admin = User(
        environ.get("UGC_CONFORMANCE_USER", "default"), environ.get("UGC_CONFORMANCE_PASSWORD", "")
    )
    target = Target(
        address("UGC_CONFORMANCE_NATIVE"), address("UGC_CONFORMANCE_HTTP"), "clickhouse", admin
    )
    for user, readonly in ((ANALYST, 2), (READER, 1)):
        password = user.password.replace("'", "\\'")
        target.ask(
            f"CREATE USER OR REPLACE {user.name} IDENTIFIED BY '{password}'"
            f" SETTINGS readonly = {readonly}, {LIMITS}"
        )
        target.ask(f"GRANT SELECT, SHOW, CREATE TEMPORARY TABLE ON *.* TO {user.name}")
    return target


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    with Guard() as made:
        yield made


@pytest.fixture(scope="session")
def running_server(
    tmp_path_factory: pytest.TempPathFactory, guard: Guard, pytestconfig: pytest.Config
) -> Iterator[Target]:
    found = (
        given(dict(os.environ))
        if "UGC_CONFORMANCE_NATIVE" in os.environ
        else started(tmp_path_factory.mktemp("conformance"), guard)
    )
    name = f"conformance_{uuid.uuid4().hex[:8]}"
    found.ask(f"CREATE DATABASE {name}")
    found.database = name
    version = found.ask("SELECT version()")
    pytestconfig.stash[REPORT].server = f"{found.kind} {version}"
    yield found
    found.database = "default"
    found.ask(f"DROP DATABASE {name} SYNC")
    if found.process is not None:
        found.process.stop(grace_s=20)


@pytest.fixture
def server(running_server: Target) -> Iterator[Target]:
    """The server; clients that the test opened are closed after it."""
    with ExitStack() as running_server.open:
        yield running_server


@pytest.fixture
def own_server(tmp_path: Path, guard: Guard) -> Iterator[Target]:
    """A server that the test may kill."""
    target = started(tmp_path, guard)
    with ExitStack() as target.open:
        yield target
    assert target.process is not None
    target.process.stop(grace_s=20)


@pytest.fixture(scope="session")
def clients(running_server: Target) -> Iterator[tuple[Client, HttpClient]]:
    """One client of each kind, as making a clickhouse-connect client asks for every setting."""
    with ExitStack() as running_server.open:
        made = running_server.client(), running_server.connect(autogenerate_session_id=False)
        with running_server.open.pop_all():
            yield made


@pytest.fixture
def native(clients: tuple[Client, HttpClient]) -> Client:
    """The session's client of the native protocol; a test leaves it usable."""
    return clients[0]


@pytest.fixture
def web(clients: tuple[Client, HttpClient]) -> HttpClient:
    """The session's clickhouse-connect client, without an HTTP session."""
    return clients[1]


@pytest.fixture
def table(running_server: Target) -> Iterator[str]:
    """A name for a table, which is dropped after the test."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    yield name
    running_server.ask(f"DROP TABLE IF EXISTS {name} SYNC")


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool], within_s: float = 60.0) -> None:
        assert Deadline.after(within_s).poll(condition), "it did not happen in time"

    return wait


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> dict[str, object]:
    """Figures for the report."""
    return pytestconfig.stash[REPORT].measured


@pytest.fixture(scope="session")
def soak() -> bool:
    """Whether the long parts run at length."""
    return os.environ.get("UGC_CONFORMANCE_SOAK", "") not in ("", "0")


# The report.


@dataclass
class Findings:
    server: str = "none started"
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    not_applicable: list[str] = field(default_factory=list)
    measured: dict[str, object] = field(default_factory=dict)


REPORT = pytest.StashKey[Findings]()
GAPS = "test_gaps"


class Reporter:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        path = Path(report.nodeid.split("::")[0])
        if path.parent.name != HERE.name or (report.when != "call" and report.passed):
            return
        outcome = "passed" if report.passed else "failed"
        self._findings.outcomes.setdefault(path.stem, Counter())[outcome] += 1


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "own_process: needs a server that the suite has started")
    config.addinivalue_line("markers", "embedded: says what the embedded server alone does")
    config.stash[REPORT] = Findings()
    config.pluginmanager.register(Reporter(config.stash[REPORT]), "conformance-report")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this server cannot be asked, and say so in the report."""
    address = "UGC_CONFORMANCE_NATIVE" in os.environ
    real = address or server_kind(server_argv(Path("config.xml"), os.environ)) == "clickhouse"
    unfit = [
        item
        for item in items
        if (address and item.get_closest_marker("own_process"))
        or (real and item.get_closest_marker("embedded"))
    ]
    if unfit:
        items[:] = [item for item in items if item not in unfit]
        config.hook.pytest_deselected(items=unfit)
        config.stash[REPORT].not_applicable = [item.nodeid for item in unfit]


def pytest_sessionfinish(session: pytest.Session) -> None:
    findings = session.config.stash[REPORT]
    if not _whole(session.config, findings):
        return  # else a run of one test would replace the report of all by its own
    gaps = findings.outcomes.get(GAPS, Counter())
    behaviour = sum(
        (found for name, found in findings.outcomes.items() if name != GAPS), start=Counter()
    )
    report = {
        "passed": behaviour["passed"],
        "failed": behaviour["failed"] + gaps["failed"],
        "server": findings.server,
        "declared_gaps": {"checked": gaps["passed"], "failed": gaps["failed"]},
        "not_applicable": findings.not_applicable,
        "measured": findings.measured,
        "by_file": {name: dict(found) for name, found in sorted(findings.outcomes.items())},
    }
    path = session.config.rootpath / "build" / "reports" / "conformance.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def _whole(config: pytest.Config, findings: Findings) -> bool:
    """Whether no part of the suite was left out by who started pytest."""
    not_applicable = {Path(name.split("::")[0]).stem for name in findings.not_applicable}
    files = {path.stem for path in HERE.glob("test_*.py")}
    chosen = config.option.keyword or config.option.markexpr
    return not chosen and files == {*findings.outcomes, *not_applicable}
