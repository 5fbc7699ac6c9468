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
