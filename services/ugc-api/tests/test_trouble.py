"""The API while its broker is frozen, killed and restarted: a broker of this file's own."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from api_samples import tick
from gunicorn_process import Server, poll
from ugc_events import FAMILIES
from ugc_local.deadline import Deadline
from ugc_local.kafka.broker import BrokerPorts, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.kafka.distribution import local_repository
from ugc_local.ports import free_ports
from ugc_local.process import Guard, Process
from ugc_local.stores import await_kafka

pytestmark = pytest.mark.integration

DEADLINE_S = 2.0


class Broker:
    """A broker that can be hurt."""

    def __init__(self, directory: Path, guard: Guard) -> None:
        self._directory = directory
        self._guard = guard
        self._ports = BrokerPorts(*free_ports(2))
        self.client = KafkaClient(bootstrap_servers(self._ports))
        self._process = self._start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It holds its connections and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    @contextmanager
    def killed(self) -> Iterator[None]:
        """It is gone, and comes back with what it has on disk."""
        self._process.kill()
        try:
            yield
        finally:
            self._process = self._start()

    def stop(self) -> None:
        self._process.stop(grace_s=10.0)

    def _start(self) -> Process:
        process = start_broker(
            self._directory,
            ports=self._ports,
            repository=local_repository(os.environ),
            environ=os.environ,
            guard=self._guard,
            on_step=print,
        )
        await_kafka(process, self.client, Deadline.after(90.0))
        return process


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, process_guard: Guard) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("kafka of its own"), process_guard)
    yield broker
    broker.stop()


class Platform:
    """An API on that broker, with topics of its own."""

    def __init__(self, server: Server, client: KafkaClient, prefix: str) -> None:
        self.server = server
        self.worker = psutil.Process(server.process.pid).children()[0]
        self._client = client
        self._prefix = prefix

    def send(self, count: int = 1) -> tuple[int, list[str]]:
        """The status of a request with these many events, and the ids that were accepted."""
        now_ms = time.time_ns() // 1_000_000
        events = [tick(occurred_at=now_ms) for _ in range(count)]
        status, _, body = self.server.post(events)
        results = json.loads(body).get("results", [])
        return status, [r["event_id"] for r in results if r["status"] == "accepted"]

    def send_at_once(self, threads: int, count: int = 1) -> list[tuple[int, list[str]]]:
        """As send, from many threads."""
        found: list[tuple[int, list[str]]] = []

        def one() -> None:
            found.append(self.send(count))

        started = [threading.Thread(target=one) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return found

    def stored(self) -> set[str]:
        records = self._client.read_all(self._prefix + "ugc.views.v1")
        return {json.loads(record.value or b"")["event_id"] for record in records}

    def recovered(self) -> None:
        """Events are accepted again, by the same process."""
        poll(lambda: self.send()[0] == 202)
        poll(lambda: self.server.status("/readyz") == 200)
        assert psutil.Process(self.server.process.pid).children() == [self.worker]


@pytest.fixture
def platform(broker: Broker, start: Callable[..., Server]) -> Platform:
    prefix = f"api-{uuid4()}."
    broker.client.create_topics([Topic(family.topic_of(prefix), 2) for family in FAMILIES])
    server = start(
        broker.client.bootstrap_servers,
        KAFKA_TOPIC_PREFIX=prefix,
        KAFKA_DELIVERY_TIMEOUT_MS=str(int(DEADLINE_S * 1000)),
        KAFKA_QUEUE_MAX_RECORDS="2000",
        API_CONCURRENCY="8",
        API_STOP_GRACE_S="8",
        API_REQUESTS_PER_MINUTE="0",
        API_EVENTS_PER_MINUTE="0",
    )
    poll(lambda: server.status("/readyz") == 200)
    return Platform(server, broker.client, prefix)


def test_a_frozen_broker_is_503_in_time_and_nothing_more(
    platform: Platform, broker: Broker
) -> None:
    server = platform.server
    kept = {event_id for _ in range(5) for event_id in platform.send(10)[1]}
    assert len(kept) == 50
    with broker.frozen():
        answers: list[tuple[int, list[str]]] = []
        sender = threading.Thread(target=lambda: answers.extend(platform.send_at_once(24)))
        sender.start()
        # Others have an answer while these wait, and these have theirs before the broker is back.
        poll(lambda: server.in_flight() > 0)
        assert server.status("/healthz") == 200
        sender.join()
        assert answers == [(503, [])] * 24
        poll(lambda: server.status("/readyz") == 503)
        assert server.status("/healthz") == 200
    platform.recovered()
    assert kept <= platform.stored()


def test_a_long_outage_takes_bounded_memory(platform: Platform, broker: Broker) -> None:
    platform.send(1000)
    with broker.frozen():
        platform.send_at_once(8, 1000)
        before = platform.worker.memory_info().rss
        for _ in range(6):
            answers = platform.send_at_once(16, 1000)
            assert [status for status, _ in answers] == [503] * 16
        assert platform.worker.memory_info().rss - before < 40_000_000
    platform.recovered()


def test_what_was_accepted_survives_the_brokers_death(platform: Platform, broker: Broker) -> None:
    accepted: set[str] = set()
    over = threading.Event()
    statuses: set[int] = set()

    def load() -> None:
        while not over.is_set():
            status, ids = platform.send(20)
            statuses.add(status)
            accepted.update(ids)

    loaders = [threading.Thread(target=load) for _ in range(4)]
    for loader in loaders:
        loader.start()
    try:
        poll(lambda: len(accepted) > 500)
        with broker.killed():
            poll(lambda: 503 in statuses)
        seen = len(accepted)
        poll(lambda: len(accepted) > seen + 500)
    finally:
        over.set()
        for loader in loaders:
            loader.join()
    assert statuses <= {202, 207, 503}
    platform.recovered()
    assert accepted <= platform.stored()


def test_stopping_during_an_outage_answers_everybody_in_time(
    platform: Platform, broker: Broker
) -> None:
    server = platform.server
    with broker.frozen():
        answers: list[tuple[int, list[str]]] = []
        sender = threading.Thread(target=lambda: answers.extend(platform.send_at_once(4)))
        sender.start()
        poll(lambda: server.in_flight() == 4)
        server.process.terminate()
        sender.join()
        assert server.process.wait(30) == 0
        # Its last word: it has not been killed at the end of its grace.
        assert '"message": "stopped' in server.process.communicate()[0]
    assert answers == [(503, [])] * 4
