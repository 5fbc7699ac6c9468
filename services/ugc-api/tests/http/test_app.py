import gzip
import json
import sys
import threading
from typing import Any
from uuid import UUID

import pytest
from api_samples import NOW_MS, headers, rating, settings, tick, token
from flask.testing import FlaskClient
from ugc_api.adapters.memory import MemorySink
from ugc_api.event_ids import uuid7
from ugc_api.http.app import create_app
from werkzeug.test import TestResponse

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def post(client: FlaskClient, events: Any, **more: str) -> TestResponse:
    body = events if isinstance(events, bytes) else json.dumps(events)
    return client.post("/v1/events", data=body, headers=headers(**more))


def problem(response: TestResponse, status: int, kind: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    said: dict[str, Any] = json.loads(response.data)
    assert said.keys() == {"type", "title", "status", "detail"}
    assert said["type"] == f"urn:ugc:problem:{kind}"
    assert said["status"] == status
    return said


def sample(client: FlaskClient, line: str) -> float:
    """The value of one sample of /metrics; 0 where it is not there yet."""
    for found in client.get("/metrics").text.splitlines():
        if found.startswith(line + " "):
            return float(found.rpartition(" ")[2])
    return 0.0


def test_accepted(client: FlaskClient, sink: MemorySink) -> None:
    sent = tick()
    response = post(client, sent)
    assert response.status_code == 202
    assert response.content_type == "application/json"
    assert response.json == {
        "results": [{"status": "accepted", "event_id": sent["event_id"]}],
        "accepted": 1,
        "duplicate": 0,
        "invalid": 0,
        "retry": 0,
    }
    assert [r.timestamp_ms for r in sink.records] == [NOW_MS]


def test_mixed(client: FlaskClient, sink: MemorySink) -> None:
    response = post(client, [tick(), tick(device="TV!"), rating()])
    assert response.status_code == 207
    assert response.json is not None
    assert [r["status"] for r in response.json["results"]] == ["accepted", "invalid", "accepted"]
    assert len(sink.records) == 2


def test_none_accepted(client: FlaskClient, sink: MemorySink) -> None:
    sink.capacity = 0  # nothing is to be published, so Kafka does not matter
    response = post(client, [tick(device="TV!"), {}])
    assert response.status_code == 400
    assert response.content_type == "application/json"
    assert response.json is not None
    assert (response.json["accepted"], response.json["invalid"]) == (0, 2)
    assert set(response.json["results"][0]) == {"status", "field", "reason", "detail"}


def test_a_thousand_at_once(client: FlaskClient, sink: MemorySink) -> None:
    events = [tick() for _ in range(1000)]
    response = post(client, events)
    assert response.status_code == 202
    assert response.json is not None
    assert [r["event_id"] for r in response.json["results"]] == [e["event_id"] for e in events]
    assert len(sink.records) == 1000
    problem(post(client, [*events, tick()]), 413, "too-many-events")
    assert len(sink.records) == 1000


def test_ids_that_the_server_gives_are_uuid7_of_its_clock(client: FlaskClient) -> None:
    events = [tick(), tick()]
    for event in events:
        del event["event_id"]
    response = post(client, events)
    assert response.json is not None
    ids = [UUID(r["event_id"]) for r in response.json["results"]]
    assert len(set(ids)) == 2
    assert [i.int >> 76 for i in ids] == [uuid7(NOW_MS, 0).int >> 76] * 2


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        ("", 'Bearer realm="ugc"'),
        ("Basic dTpw", 'Bearer realm="ugc", error="invalid_request"'),
        (f"Bearer {token(exp=1)}", 'Bearer realm="ugc", error="invalid_token"'),
        (f"Bearer {token(sub='somebody')}", 'Bearer realm="ugc", error="invalid_token"'),
    ],
)
def test_unauthorized(
    client: FlaskClient, sink: MemorySink, authorization: str, challenge: str
) -> None:
    response = post(client, tick(), Authorization=authorization)
    problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == challenge
    assert sink.records == []


@pytest.mark.parametrize(
    "more",
    [{"Content-Type": "text/plain"}, {"Content-Type": ""}],
)
def test_unsupported_media_type(client: FlaskClient, more: dict[str, str]) -> None:
    problem(post(client, tick(), **more), 415, "media-type")


def test_json_may_name_its_charset(client: FlaskClient) -> None:
    more = {"Content-Type": "application/json; charset=utf-8"}
    assert post(client, tick(), **more).status_code == 202


@pytest.mark.parametrize(
    ("body", "kind"), [(b"{", "not-json"), (b"", "not-json"), (b"[]", "no-events")]
)
def test_bad_request(client: FlaskClient, body: bytes, kind: str) -> None:
    problem(post(client, body), 400, kind)


def test_too_large(sink: MemorySink) -> None:
    client = create_app(settings(api_max_body_bytes=1024), sink).test_client()
    assert "1024 bytes" in problem(post(client, b" " * 1025), 413, "body-too-large")["detail"]
    problem(post(client, b" " * 1024), 400, "not-json")


def test_less_than_was_promised_is_refused(client: FlaskClient, sink: MemorySink) -> None:
    body = json.dumps(tick()).encode()
    promised = {"CONTENT_LENGTH": str(len(body) + 1)}
    response = client.post("/v1/events", data=body, headers=headers(), environ_overrides=promised)
    assert response.status_code == 400
    assert sink.records == []


def test_unavailable(client: FlaskClient, sink: MemorySink) -> None:
    sink.capacity = 0
    response = post(client, tick())
    said = problem(response, 503, "not-acknowledged")
    assert "repeat the whole request" in said["detail"]
    assert int(response.headers["Retry-After"]) >= 1
    sink.capacity = None
    assert post(client, tick()).status_code == 202


def test_what_kafka_refuses_alone_is_to_be_sent_again(
    client: FlaskClient, sink: MemorySink
) -> None:
    sink.capacity = 1
    events = [tick(), tick(device="TV!"), tick()]
    response = post(client, [*events, events[2]])
    assert response.status_code == 207
    assert int(response.headers["Retry-After"]) >= 1
    assert response.json is not None
    fates = [result["status"] for result in response.json["results"]]
    assert fates == ["accepted", "invalid", "retry", "duplicate"]
    assert [response.json[name] for name in ("accepted", "duplicate", "invalid", "retry")] == [
        1
    ] * 4
    sink.capacity = None
    assert post(client, events[2]).status_code == 202
    assert len(sink.records) == 2


COMPRESS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_compressed_body(client: FlaskClient, encoding: str) -> None:
    body = COMPRESS[encoding](json.dumps([tick(), tick()]).encode())
    response = post(client, body, **{"Content-Encoding": encoding})
    assert response.status_code == 202
    assert response.json is not None
    assert response.json["accepted"] == 2


def test_faults_of_a_compressed_body(sink: MemorySink) -> None:
    client = create_app(settings(api_max_body_bytes=1024), sink).test_client()
    bomb = gzip.compress(b" " * 1025)
    problem(post(client, bomb, **{"Content-Encoding": "gzip"}), 413, "body-too-large")
    problem(post(client, b"{}", **{"Content-Encoding": "zstd"}), 400, "broken-encoding")
    response = post(client, b"{}", **{"Content-Encoding": "br"})
    problem(response, 415, "content-encoding")
    assert response.headers["Accept-Encoding"] == "gzip, zstd"


@pytest.mark.parametrize("media_type", ["application/x-ndjson", "application/jsonl"])
def test_events_line_by_line(client: FlaskClient, media_type: str) -> None:
    body = "\n".join(json.dumps(event) for event in [tick(), {}, tick()]).encode()
    response = post(client, body, **{"Content-Type": media_type})
    assert response.status_code == 207
    assert response.json is not None
    assert [r["status"] for r in response.json["results"]] == ["accepted", "invalid", "accepted"]


def test_the_deadline_is_the_setting(sink: MemorySink) -> None:
    sink.held.clear()
    client = create_app(settings(kafka_delivery_timeout_ms=100), sink).test_client()
    problem(post(client, tick()), 503, "not-acknowledged")


def test_probes(client: FlaskClient, sink: MemorySink) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    sink.capacity = 0
    assert client.get("/healthz").status_code == 200
    problem(client.get("/readyz"), 503, "not-ready")
    sink.defect = "the producer failed for good"
    problem(client.get("/healthz"), 500, "broken")


def test_other_paths_and_methods(client: FlaskClient) -> None:
    problem(client.get("/nowhere"), 404, "not-found")
    response = client.get("/v1/events")
    problem(response, 405, "method-not-allowed")
    assert "POST" in response.headers["Allow"]


def test_a_fault_of_ours_is_a_problem_document_without_details(
    sink: MemorySink, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_clock() -> int:
        raise ArithmeticError("the clock broke")

    client = create_app(settings(), sink, clock_ms=broken_clock).test_client()
    response = post(client, tick())
    problem(response, 500, "internal-server-error")
    assert "clock" not in response.text
    assert "the clock broke" in caplog.text


def test_metrics_count_requests_events_and_reasons(client: FlaskClient, sink: MemorySink) -> None:
    post(client, [tick(), tick(), rating(), tick(device=7), {}])
    post(client, b"{")
    sink.capacity = 1
    post(client, [tick(), tick()])
    post(client, tick())
    client.get("/nowhere")
    client.get("/healthz")
    expected = {
        'ugc_api_requests_total{route="/v1/events",status="207"}': 2,
        'ugc_api_requests_total{route="/v1/events",status="400"}': 1,
        'ugc_api_requests_total{route="/v1/events",status="503"}': 1,
        'ugc_api_requests_total{route="other",status="404"}': 1,
        'ugc_api_requests_total{route="/healthz",status="200"}': 1,
        'ugc_api_events_total{family="views",outcome="accepted"}': 3,
        'ugc_api_events_total{family="reactions",outcome="accepted"}': 1,
        'ugc_api_events_total{family="views",outcome="unavailable"}': 2,
        'ugc_api_events_total{family="unknown",outcome="invalid"}': 2,
        'ugc_api_events_invalid_total{reason="wrong_type"}': 1,
        'ugc_api_events_invalid_total{reason="missing"}': 1,
        'ugc_api_kafka_produce_errors_total{cause="refused"}': 2,
        'ugc_api_request_seconds_count{route="/v1/events"}': 4,
    }
    assert {line: sample(client, line) for line in expected} == expected
    # This very request for the metrics.
    assert sample(client, "ugc_api_requests_in_flight") == 1


def test_requests_in_flight_are_seen_from_outside(client: FlaskClient, sink: MemorySink) -> None:
    sink.held.clear()
    threads = [threading.Thread(target=post, args=(client, tick())) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        polls = iter(range(1000))
        while sample(client, "ugc_api_requests_in_flight") != 4:
            assert next(polls, None) is not None, "the requests never showed"
    finally:
        sink.held.set()
        for thread in threads:
            thread.join()
    assert sample(client, "ugc_api_requests_in_flight") == 1


def test_apps_do_not_share_metrics(client: FlaskClient) -> None:
    post(client, tick())
    other = create_app(settings(), MemorySink()).test_client()
    line = 'ugc_api_requests_total{route="/v1/events",status="202"}'
    assert (sample(client, line), sample(other, line)) == (1, 0)


def test_nothing_that_clients_send_is_logged(
    client: FlaskClient, sink: MemorySink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret_device = "a-secret-device"
    post(client, [tick(device=secret_device), {"type": secret_device}])
    sink.capacity = 0
    post(client, tick(device=secret_device))
    assert "not acknowledged" in caplog.text
    assert secret_device not in caplog.text
    assert token()[:20] not in caplog.text
