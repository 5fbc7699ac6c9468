"""Two releases of the services on one broker and one ClickHouse: this tree, and a changed copy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from ugc_etl.adapters.kafka_tools import KafkaTools
from ugc_etl.protocol.intent import Mark
from ugc_events import DeadLetter
from ugc_events.registry import DEAD_LETTERS_TOPIC, topics
from ugc_local.chaos.consumer import Consumer
from ugc_local.chaos.link import Link, Network
from ugc_local.chaos.taps import ClickHouseTap
from ugc_local.credentials import new_credentials
from ugc_local.deadline import Deadline
from ugc_local.demo.analyst import Analyst
from ugc_local.generator.connection import Connection, LostError, UnreachableError
from ugc_local.generator.tokens import token_minter
from ugc_local.health import answers_ok
from ugc_local.kafka.client import Topic
from ugc_local.options import Services
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import Guard, Process, log_tail
from ugc_local.testing import ClickHouseService, KafkaService

PARTITIONS = 3
_EVENTUALLY_S = 120.0
_ANSWER_S = 120.0
_FILM = "8d3ed691-0ccf-46eb-a9ba-596fb2a42b77"


def eventually(what: Callable[[], Any], why: str) -> None:
    """Poll until `what` is true."""
    assert Deadline.after(_EVENTUALLY_S).poll(lambda: bool(what()), interval_s=0.1), why


@dataclass(frozen=True, slots=True)
class Release:
    """The code in a tree, run by the interpreter of the tests."""

    name: str
    tree: Path

    def environ(self) -> dict[str, str]:
        """Puts this tree's packages before the installed ones."""
        sources = [*self.tree.glob("libs/*/src"), *self.tree.glob("services/*/src")]
        return {"PYTHONPATH": os.pathsep.join(map(str, sources))}


@dataclass(slots=True)
class Etl:
    """A consumer of one release; ClickHouse is behind a link that can be cut."""

    consumer: Consumer
    link: Link
    log: Path

    def told(self, words: str) -> int:
        """How many lines of its log have these words."""
        return sum(words in line for line in self.log.read_text().splitlines())


@dataclass(slots=True)
class Api:
    """An API of one release."""

    process: Process
    url: str


class Deployment:
    """Topics, databases and a group of its own, on the stores of the session."""

    def __init__(
        self,
        directory: Path,
        kafka: KafkaService,
        clickhouse: ClickHouseService,
        guard: Guard,
        network: Network,
    ) -> None:
        self._directory, self._kafka, self._clickhouse = directory, kafka, clickhouse
        self._guard, self._network = guard, network
        self._processes: list[Process] = []
        self._prefix = f"t{uuid4().hex[:10]}."
        self._database = f"ugc_{uuid4().hex[:10]}"
        secrets = new_credentials()
        self._views = f"{self._prefix}ugc.views.v1"
        self._kafka_settings = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self._prefix,
        }
        user, password = clickhouse.admin
        self._etl_settings = {
            **self._kafka_settings,
            "KAFKA_GROUP_ID": f"{self._prefix}etl",
            "CLICKHOUSE_HOST": clickhouse.host,
            "CLICKHOUSE_PORT": str(clickhouse.native_port),
            "CLICKHOUSE_USER": user,
            "CLICKHOUSE_PASSWORD": password,
            "CLICKHOUSE_DATABASE": self._database,
            "CLICKHOUSE_ANALYTICS_DATABASE": f"analytics_{self._database}",
            "PSEUDONYM_KEY": secrets.pseudonym_key,
        }
        # Takeovers wait for deadlines and sessions, so these are as short as may be.
        self._run_settings = {
            **self._etl_settings,
            "KAFKA_SESSION_TIMEOUT_MS": "6000",
            "INSERT_TIMEOUT_S": "5",
            "INSERT_DEADLINE_S": "10",
            "BATCH_MAX_AGE_MS": "200",
            "METRICS_HOST": LOOPBACK,
        }
        self._jwt_secret = secrets.jwt_secret
        self.token = token_minter(secrets.jwt_secret, issued_at_s=int(time.time()))(uuid4())
        self._admin = Analyst(clickhouse.http_url, user, password)
        self._tools = KafkaTools({"bootstrap.servers": kafka.bootstrap_servers})
        kafka.client.create_topics(
            Topic(spec.name, PARTITIONS if spec.partitioned else 1, spec.config)
            for spec in topics(self._prefix)
        )

    def close(self) -> None:
        """Stop what still runs."""
        for process in self._processes:
            process.kill()
        self._tools.close()

    def etl_command(self, release: Release, *arguments: str, status: int = 0) -> str:
        """What `etl` prints; it must end with this status."""
        done = subprocess.run(
            [sys.executable, "-m", "ugc_etl", *arguments],
            env=os.environ | self._etl_settings | release.environ(),
            capture_output=True, text=True, timeout=_EVENTUALLY_S, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def start_etl(self, release: Release, name: str) -> Etl:
        """Start a consumer; on return it is ready."""
        log = self._directory / f"{name}.log"
        link = self._network.link((LOOPBACK, self._clickhouse.native_port), ClickHouseTap)
        (port,) = free_ports(1)
        settings = self._run_settings | {
            "CLICKHOUSE_PORT": str(link.port),
            "METRICS_PORT": str(port),
        }
        argv = [sys.executable, "-m", "ugc_etl", "run"]
        consumer = Consumer(
            name, link, link, port, lambda: self._run(name, argv, release, settings)
        )
        consumer.start()
        eventually(consumer.is_ready, f"{name} is not ready: {log_tail(log, 10)}")
        return Etl(consumer, link, log)

    def start_api(self, release: Release, name: str) -> Api:
        """Start an API; on return it is ready."""
        (port,) = free_ports(1)
        settings = self._kafka_settings | {
            "API_BIND": f"{LOOPBACK}:{port}",
            "JWT_SECRET": self._jwt_secret,
            # One viewer sends all that is sent here.
            "API_REQUESTS_PER_MINUTE": "0",
            "API_EVENTS_PER_MINUTE": "0",
        }
        api = Api(self._run(name, Services().api, release, settings), f"http://{LOOPBACK}:{port}")
        eventually(lambda: answers_ok(f"{api.url}/readyz"), f"{name} is not ready")
        return api

    def _run(
        self, name: str, argv: Iterable[str], release: Release, settings: Mapping[str, str]
    ) -> Process:
        process = Process(
            name,
            list(argv),
            log=self._directory / f"{name}.log",
            environ=os.environ | settings | release.environ(),
            cwd=self._directory,
            guard=self._guard,
        )
        self._processes.append(process)
        return process

    def audit(self, release: Release) -> dict[str, int]:
        """The totals of `etl audit`, which must find every partition exact."""
        found = json.loads(self.etl_command(release, "audit", "--json"))
        assert found["exact"], found
        total: dict[str, int] = found["total"]
        assert (total["lost"], total["duplicated"], total["in_flight"]) == (0, 0, 0), total
        return total

    def marks(self) -> dict[int, Mark]:
        """Those of the partitions of views that have one."""
        places = self._tools.partitions([self._views])
        marks = self._tools.marks(self._etl_settings["KAFKA_GROUP_ID"], places)
        return {place.number: mark for place, mark in marks.items() if isinstance(mark, Mark)}

    def all_done(self) -> bool:
        """Whether the marks have passed every record of views."""
        ends = self._kafka.client.end_offsets(self._views)
        marks = self.marks()
        return all(
            number in marks and marks[number].offset >= end for number, end in ends.items() if end
        )

    def rows(self) -> int:
        """How many views are in the raw table."""
        (found,) = self._admin.ask(f"SELECT count() AS rows FROM {self._database}.views")
        return int(found["rows"])

    def speeds(self) -> dict[UUID, int | None]:
        """What the raw table says of each event."""
        found = self._admin.ask(
            f"SELECT DISTINCT toString(event_id) AS id, speed_percent FROM {self._database}.views"
        )
        speeds = {UUID(row["id"]): row["speed_percent"] for row in found}
        assert len(speeds) == len(found), "one event, two speeds"
        return speeds

    def letters(self) -> list[DeadLetter]:
        """Dead letters that were not withdrawn."""
        latest: dict[bytes | None, DeadLetter | None] = {}
        for record in self._kafka.client.read_all(self._prefix + DEAD_LETTERS_TOPIC):
            withdrawn = record.value is None
            latest[record.key] = (
                None if withdrawn else DeadLetter.from_record(record.value or b"", record.headers)
            )
        return [letter for letter in latest.values() if letter is not None]


@dataclass(frozen=True, slots=True)
class App:
    """What sends events to an API; an updated one tells the speed."""

    api: Api
    speed: int | None = None


@dataclass
class Load:
    """Apps that send without a pause, in a thread, until stop().

    Attributes:
        accepted: the events that an API has accepted, and the speed that each told.
        apps: who sends, in turn; put others in their place at any time.
    """

    token: str
    apps: tuple[App, ...]
    accepted: dict[UUID, int | None] = field(default_factory=dict)
    _failure: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; asserts that every event was accepted."""
        self._stopped.set()
        self._thread.join()
        assert not self._failure, self._failure

    def sends(self) -> None:
        """Wait until each of the apps has sent something more."""
        before = len(self.accepted)
        eventually(
            lambda: self._failure or len(self.accepted) >= before + 40 * len(self.apps),
            "nothing is accepted",
        )
        assert not self._failure, self._failure

    def _run(self) -> None:
        turn = 0
        while not self._stopped.wait(0.05) and not self._failure:
            apps = self.apps
            app = apps[turn % len(apps)]
            turn += 1
            events = views(20, app.speed)
            try:
                status, body = post(app.api, events, self.token)
            except (LostError, UnreachableError) as error:
                self._failure.append(repr(error))
                return
            if status != 202:
                self._failure.append(f"{status} {body!r}")
                return
            self.accepted |= {UUID(event["event_id"]): app.speed for event in events}


def post(api: Api, events: list[dict[str, Any]], token: str) -> tuple[int, bytes]:
    """The API's answer: status and body."""
    connection = Connection(api.url, timeout_s=_ANSWER_S)
    try:
        answer = connection.post(json.dumps(events).encode(), token)
    finally:
        connection.close()
    return answer.status, answer.body


def views(count: int, speed: int | None) -> list[dict[str, Any]]:
    """Ticks, each of another film so that they come to all partitions."""
    told = {} if speed is None else {"speed_percent": speed}
    return [
        {
            "type": "view_progress",
            "event_id": str(uuid4()),
            "occurred_at": "2026-01-15T20:15:30Z",
            "session_id": _FILM,
            "content_id": str(uuid4()),
            "position_ms": 60_000,
            "duration_ms": 6_155_440,
            "device": "tv",
            **told,
        }
        for _ in range(count)
    ]
