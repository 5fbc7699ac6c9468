import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

import pytest
from contract_event_sink import DEADLINE_S, EventSinkContract, batch
from ugc_api.adapters.kafka import KafkaSink
from ugc_api.adapters.memory import Stored
from ugc_api.ports import Batch, SinkUnavailable
from ugc_api.turns import Turns
from ugc_local.kafka.client import Topic
from ugc_local.ports import free_ports
from ugc_local.testing import KafkaService

INCOMPRESSIBLE = random.Random(1).randbytes(4000)


def make_sink(bootstrap_servers: str, topic: str, **changes: Any) -> KafkaSink:
    given: dict[str, Any] = {
        "topics": [topic],
        "delivery_timeout_ms": 20_000,
        "linger_ms": 1,
        "queue_max_records": 10_000,
        "queue_max_kbytes": 8192,
        "max_stalled": 32,
    }
    return KafkaSink({"bootstrap.servers": bootstrap_servers}, **(given | changes))


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def nowhere() -> str:
    """An address of this machine where nobody listens."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def topic(kafka: KafkaService) -> str:
    name = f"sink-{uuid4()}"
    kafka.client.create_topics([Topic(name, 3, {"max.message.bytes": "2000"})])
    return name


@pytest.fixture
def sink(kafka: KafkaService, topic: str) -> Iterator[KafkaSink]:
    sink = make_sink(kafka.bootstrap_servers, topic)
    yield sink
    sink.close(5)


@pytest.fixture
def lost_sink(nowhere: str) -> Iterator[KafkaSink]:
    sink = make_sink(nowhere, "t", delivery_timeout_ms=60_000)
    yield sink
    sink.close(0.1)


@pytest.fixture
def stored(kafka: KafkaService, topic: str) -> Callable[[], list[Stored]]:
    def read() -> list[Stored]:
        return [
            Stored(
                r.topic,
                r.key or b"",
                r.value or b"",
                r.timestamp_ms,
                tuple((name, content or b"") for name, content in r.headers),
            )
            for r in sorted(
                kafka.client.read_all(topic), key=lambda r: (r.topic, r.partition, r.offset)
            )
        ]

    return read


@pytest.fixture
def refused() -> bytes:
    """Larger than what the topic takes, however it is compressed."""
    return INCOMPRESSIBLE


@pytest.mark.integration
class TestKafkaSink(EventSinkContract):
    pass


class InTurns:
    """Publishes as the worker does: every caller's batch in a turn, all turns in one thread."""

    def __init__(self, sink: KafkaSink, turns: Turns) -> None:
        self.sink = sink
        self.turns = turns
        self.calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self.closing = False
        self.loop = threading.Thread(target=self._loop)
        self.loop.start()

    def publish(self, batch: Batch, deadline_s: float) -> None:
        self._call(lambda: self.sink.publish(batch, deadline_s))

    def not_ready(self) -> str | None:
        return str(reason) if (reason := self._call(self.sink.not_ready)) else None

    def broken(self) -> str | None:
        return self.sink.broken()

    def close(self, timeout_s: float) -> int:
        self.closing = True
        self.loop.join()
        return self.sink.close(timeout_s)

    def _call(self, call: Callable[[], Any]) -> Any:
        done: Future[Any] = Future()
        self.calls.put((call, done))
        return done.result(60)

    def _loop(self) -> None:
        while not self.closing:
            with suppress(Empty):
                self.turns.begin(_answer, self.calls.get(timeout=self.turns.pause_s(0.05)))
            self.turns.resume()


def _answer(asked: tuple[Callable[[], Any], Future[Any]]) -> None:
    call, done = asked
    try:
        done.set_result(call())
    except SinkUnavailable as error:
        done.set_exception(error)


@pytest.mark.integration
class TestKafkaSinkInTurns(EventSinkContract):
    @pytest.fixture
    def sink(self, kafka: KafkaService, topic: str) -> Iterator[InTurns]:
        turns = Turns()
        sink = InTurns(make_sink(kafka.bootstrap_servers, topic, turns=turns), turns)
        yield sink
        sink.close(5)

    @pytest.fixture
    def lost_sink(self, nowhere: str) -> Iterator[InTurns]:
        turns = Turns()
        sink = InTurns(make_sink(nowhere, "t", turns=turns, delivery_timeout_ms=60_000), turns)
        yield sink
        sink.close(0.1)


@pytest.mark.integration
def test_a_record_that_the_broker_refuses_is_told_with_what_was_stored(
    kafka: KafkaService, topic: str
) -> None:
    sink = make_sink(kafka.bootstrap_servers, topic)
    fits = batch(topic, b"v")
    sink.publish(fits, DEADLINE_S)
    with pytest.raises(SinkUnavailable) as caught:
        sink.publish(batch(topic, INCOMPRESSIBLE), DEADLINE_S)
    assert caught.value.cause == "msg_size_too_large"
    assert caught.value.stored == frozenset()
    sink.publish(fits, DEADLINE_S)
    assert sink.close(5) == 0


@pytest.mark.integration
def test_a_missing_topic_is_the_reason_not_to_be_ready(kafka: KafkaService) -> None:
    name = f"missing-{uuid4()}"
    sink = make_sink(kafka.bootstrap_servers, name)
    deadline_s = time.monotonic() + DEADLINE_S
    while sink.not_ready() != f"topics do not exist: {name}":
        assert time.monotonic() < deadline_s, sink.not_ready()
        time.sleep(0.05)
    assert name not in kafka.client.topics()
    sink.close(1)


def test_a_full_queue_refuses_at_once(nowhere: str) -> None:
    sink = make_sink(nowhere, "t", queue_max_records=2, delivery_timeout_ms=60_000)
    with pytest.raises(SinkUnavailable) as caught:
        sink.publish(batch("t", *[b"v"] * 3), DEADLINE_S)
    # Had it waited for the two that fit, it would have been for the deadline.
    assert caught.value.cause == "queue_full"
    sink.close(0.1)


def test_the_drivers_own_time_out_ends_the_wait(nowhere: str) -> None:
    sink = make_sink(nowhere, "t", delivery_timeout_ms=300)
    with pytest.raises(SinkUnavailable) as caught:
        sink.publish(batch("t", b"v"), DEADLINE_S)
    assert caught.value.cause == "msg_timed_out"
    sink.close(0.1)


def test_close_counts_what_nobody_acknowledged(nowhere: str) -> None:
    sink = make_sink(nowhere, "t", delivery_timeout_ms=60_000)
    with pytest.raises(SinkUnavailable, match="timed_out"):
        sink.publish(batch("t", *[b"v"] * 2), 0.05)
    assert sink.close(0.1) == 2


def test_when_nothing_is_acknowledged_only_a_few_wait(nowhere: str) -> None:
    clock = Clock()
    sink = make_sink(nowhere, "t", max_stalled=2, delivery_timeout_ms=60_000, monotonic=clock)
    causes: list[str] = []

    def publish() -> None:
        try:
            sink.publish(batch("t", b"v"), 4.0)
        except SinkUnavailable as error:
            causes.append(error.cause)

    threads = [threading.Thread(target=publish) for _ in range(6)]
    for thread in threads:
        thread.start()
    clock.now_s += 2.0
    until(lambda: len(causes) == 4)
    assert causes == ["stalled"] * 4
    clock.now_s += 5.0
    for thread in threads:
        thread.join()
    assert causes[4:] == ["timed_out"] * 2
    sink.close(0.1)
