import pytest
from api_samples import FILM, NOW_MS, headers, settings, tick
from flask.testing import FlaskClient
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from werkzeug.test import TestResponse

CINEMA, KIDS, OTHER = "https://cinema.example", "https://kids.example:8443", "https://evil.example"


@pytest.fixture
def client(sink: MemorySink) -> FlaskClient:
    app = create_app(settings(api_cors_origins=f"{CINEMA},{KIDS}"), sink, clock_ms=lambda: NOW_MS)
    return app.test_client()


def preflight(client: FlaskClient, origin: str, path: str = "/v1/events") -> TestResponse:
    return client.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )


@pytest.mark.parametrize("origin", [CINEMA, KIDS])
def test_a_page_of_an_allowed_origin_may_send(client: FlaskClient, origin: str) -> None:
    asked = preflight(client, origin)
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == origin
    assert asked.headers["Access-Control-Allow-Methods"] == "POST"
    assert {"Authorization", "Content-Type", "Content-Encoding"} <= set(
        asked.headers["Access-Control-Allow-Headers"].split(", ")
    )
    assert int(asked.headers["Access-Control-Max-Age"]) > 0
    sent = client.post("/v1/events", json=tick(), headers=headers(Origin=origin))
    assert sent.status_code == 202
    assert sent.headers["Access-Control-Allow-Origin"] == origin
    assert "Retry-After" in sent.headers["Access-Control-Expose-Headers"]


def test_problems_can_be_read_too(client: FlaskClient) -> None:
    response = client.post("/v1/events", headers={"Origin": CINEMA})
    assert response.status_code == 401
    assert response.headers["Access-Control-Allow-Origin"] == CINEMA


def test_other_origins_get_no_leave(client: FlaskClient) -> None:
    for response in (
        preflight(client, OTHER),
        client.post("/v1/events", json=tick(), headers=headers(Origin=OTHER)),
        client.post("/v1/events", json=tick(), headers=headers(Origin="null")),
        client.post("/v1/events", json=tick(), headers=headers()),
    ):
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
        assert "Origin" in response.vary


def test_what_a_path_allows_is_its_own(client: FlaskClient) -> None:
    allowed = preflight(client, CINEMA, f"/v1/films/{FILM}/rating")
    assert allowed.headers["Access-Control-Allow-Methods"] == "DELETE, PUT"
    assert preflight(client, CINEMA, "/nowhere").status_code == 404


def test_any_origin(sink: MemorySink) -> None:
    client = create_app(settings(api_cors_origins="*"), sink).test_client()
    assert preflight(client, OTHER).headers["Access-Control-Allow-Origin"] == "*"


def test_none_by_default(sink: MemorySink) -> None:
    client = create_app(settings(), sink).test_client()
    assert "Access-Control-Allow-Origin" not in preflight(client, CINEMA).headers
