"""The server as it is deployed: a gunicorn process of its own."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import psutil
import pytest
from api_samples import SECRET, rating, tick
from gunicorn_process import COMMAND, Server, environment, poll
from ugc_events import FAMILIES
from ugc_local.kafka.client import Topic
from ugc_local.ports import free_ports
from ugc_local.testing import KafkaService


@pytest.fixture
def prefix(kafka: KafkaService) -> str:
    prefix = f"api-{uuid4()}."
    kafka.client.create_topics([Topic(family.topic_of(prefix), 2) for family in FAMILIES])
    return prefix


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, ["KAFKA_BOOTSTRAP_SERVERS"]),
        ({"API_CONCURRENCY": "many", "JWT_LEEWAY_S": "-1"}, ["API_CONCURRENCY", "JWT_LEEWAY_S"]),
    ],
)
def test_a_wrong_environment_is_told_line_by_line(
    changes: dict[str, str], named: list[str]
) -> None:
    done = subprocess.run(
        COMMAND, env=environment(**changes), capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert [name for name in named if name not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.integration
def test_events_reach_the_log_as_the_contract_says(
    kafka: KafkaService, prefix: str, start: Callable[..., Server]
) -> None:
    server = start(kafka.bootstrap_servers, KAFKA_TOPIC_PREFIX=prefix)
    poll(lambda: server.status("/readyz") == 200)
    now_ms = time.time_ns() // 1_000_000
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    view, score = tick(occurred_at=now_ms), rating(occurred_at=now_ms)
    status, _, body = server.post([view, {"type": "x"}, score], traceparent=trace)
    assert status == 207
    assert [r["status"] for r in json.loads(body)["results"]] == ["accepted", "invalid", "accepted"]
    for event, topic in ((view, "ugc.views.v1"), (score, "ugc.reactions.v1")):
        (record,) = kafka.client.read_all(prefix + topic)
        stored = json.loads(record.value or b"")
        assert event.items() <= stored.items()
        assert record.timestamp_ms == stored["received_at"]
        assert abs(record.timestamp_ms - now_ms) < 60_000
        assert record.key == f"{stored['user_id']}:{event['content_id']}".encode()
        assert record.headers == (("traceparent", trace.encode()),)
    assert list(kafka.client.read_all(prefix + "ugc.interactions.v1")) == []
    assert 'outcome="accepted"} 1.0' in server.request("GET", "/metrics")[2]


@pytest.mark.integration
def test_what_was_accepted_is_in_the_log_when_it_is_stopped_under_load(
    kafka: KafkaService, prefix: str, start: Callable[..., Server]
) -> None:
    server = start(kafka.bootstrap_servers, KAFKA_TOPIC_PREFIX=prefix, KAFKA_LINGER_MS="200")
    poll(lambda: server.status("/readyz") == 200)
    accepted: list[str] = []
    refused: list[int] = []
    unanswered: list[float] = []

    def send() -> None:
        while True:
            event = tick(occurred_at=time.time_ns() // 1_000_000)
            begun_s = time.monotonic()
            try:
                status, _, _ = server.post(event)
            except ConnectionError:
                unanswered.append(begun_s)
                return
            if status == 202:
                accepted.append(event["event_id"])
            else:
                refused.append(status)

    threads = [threading.Thread(target=send) for _ in range(6)]
    seen_from_s = 0.0

    def all_in_flight() -> bool:
        nonlocal seen_from_s
        seen_from_s = time.monotonic()
        return len(accepted) >= 6 and server.in_flight() == 6

    for thread in threads:
        thread.start()
    try:
        poll(all_in_flight)
    finally:
        server.process.terminate()
        for thread in threads:
            thread.join()
    assert server.process.wait(20) == 0
    assert refused == []
    # What the server had in its hands is answered; only a connection that came when it was
    # closing its socket is not.
    assert min(unanswered) > seen_from_s
    stored = [
        json.loads(r.value or b"")["event_id"]
        for r in kafka.client.read_all(prefix + "ugc.views.v1")
    ]
    assert set(accepted) <= set(stored)
    assert len(set(stored)) == len(stored)
    lines = [json.loads(line) for line in server.process.communicate()[0].splitlines()]
    assert lines[-1]["level"] == "INFO"
    assert "nothing is left to send" in [line["message"].split("; ")[-1] for line in lines]


def test_without_kafka_it_lives_refuses_and_stops(start: Callable[..., Server]) -> None:
    server = start(
        f"127.0.0.1:{free_ports(1)[0]}",
        API_CONCURRENCY="8",
        KAFKA_DELIVERY_TIMEOUT_MS="4000",
        API_STOP_GRACE_S="8",
    )
    answers: list[tuple[int, bool]] = []

    def send() -> None:
        status, answer_headers, _ = server.post(tick(occurred_at=time.time_ns() // 1_000_000))
        answers.append((status, "Retry-After" in answer_headers))

    threads = [threading.Thread(target=send) for _ in range(24)]
    for thread in threads:
        thread.start()
    # More requests than places, none can be acknowledged: some are refused before their
    # deadline, and others have an answer while the rest still waits.
    poll(lambda: bool(answers) and server.in_flight() > 0)
    assert server.status("/healthz") == 200
    assert server.status("/readyz") == 503
    for thread in threads:
        thread.join()
    assert answers == [(503, True)] * 24
    assert len(psutil.Process(server.process.pid).children()) == 1
    # Stopped while requests wait: they get their answer first.
    answers.clear()
    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        poll(lambda: server.in_flight() == 3)
    finally:
        server.process.terminate()
        for thread in threads:
            thread.join()
    assert server.process.wait(20) == 0
    assert answers == [(503, True)] * 3
    assert "stopped; " in server.process.communicate()[0]
