"""What the HTTP surface answers to those whom it does not serve."""

import json
from pathlib import Path

from api_samples import NOW_MS, headers, settings, tick, token
from flask.testing import FlaskClient
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from ugc_settings import Secret


def client_of(sink: MemorySink, **changes: object) -> FlaskClient:
    return create_app(settings(**changes), sink, clock_ms=lambda: NOW_MS).test_client()


def test_a_token_without_the_scope_is_forbidden(sink: MemorySink) -> None:
    client = client_of(sink, jwt_scope="ugc:write")
    response = client.post("/v1/events", data=json.dumps(tick()), headers=headers())
    assert (response.status_code, response.json["type"]) == (403, "urn:ugc:problem:forbidden")
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="ugc", error="insufficient_scope", scope="ugc:write"'
    )
    assert sink.records == []
    allowed = {"Authorization": f"Bearer {token(scope='ugc:write')}"}
    response = client.post("/v1/events", json=tick(), headers=allowed)
    assert response.status_code == 202


def test_it_is_not_ready_without_keys_and_alive(sink: MemorySink, tmp_path: Path) -> None:
    client = client_of(sink, jwt_secret=Secret(), jwt_jwks=str(tmp_path / "none"))
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "the keys" in response.json["detail"]
    assert client.get("/healthz").status_code == 200


def test_too_many_requests(sink: MemorySink) -> None:
    client = client_of(sink, api_requests_per_minute=2)
    for _ in range(2):
        assert client.post("/v1/events", json=tick(), headers=headers()).status_code == 202
    response = client.post("/v1/events", data=b"not even read", headers=headers())
    assert (response.status_code, response.json["type"]) == (429, "urn:ugc:problem:rate-limited")
    wait_s = int(response.headers["Retry-After"])
    assert 0 < wait_s <= 60
    assert response.headers["RateLimit-Policy"] == '"requests";q=2;w=60'
    assert response.headers["RateLimit"] == f'"requests";r=0;t={wait_s}'
    other = token(sub="018f2b7a-0000-7000-8000-0000000000ff")
    response = client.post(
        "/v1/events", json=tick(), headers=headers(Authorization=f"Bearer {other}")
    )
    assert response.status_code == 202
    assert 'ugc_api_rate_limited_total{limit="requests"} 1.0' in client.get("/metrics").text


def test_too_many_events_publish_none_of_the_request(sink: MemorySink) -> None:
    client = client_of(sink, api_events_per_minute=5, api_max_batch=5)
    first = client.post("/v1/events", json=[tick() for _ in range(3)], headers=headers())
    assert first.status_code == 202
    response = client.post("/v1/events", json=[tick() for _ in range(3)], headers=headers())
    assert response.status_code == 429
    assert response.headers["RateLimit"].startswith('"events";r=2;')
    assert len(sink.records) == 3
    last = client.post("/v1/events", json=[tick(), {}, tick()], headers=headers())
    assert last.status_code == 207
