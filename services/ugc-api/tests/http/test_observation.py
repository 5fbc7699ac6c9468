import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from api_samples import NOW_MS, headers, settings, tick
from flask import request
from flask.testing import FlaskClient
from ugc_api import logs
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure("debug", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("given", ["abc", "01J-x_y.z:9", "f" * 128])
def test_a_well_formed_request_id_is_kept(client: FlaskClient, given: str) -> None:
    response = client.post("/v1/events", json=tick(), headers=headers(**{"X-Request-Id": given}))
    assert response.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", " a", "a b", "a" * 129, "ключ", '"}', "-a", "a\\n"])
def test_any_other_is_replaced(client: FlaskClient, given: str) -> None:
    answers = [client.get("/healthz", headers={"X-Request-Id": given}) for _ in range(2)]
    first, second = (answer.headers["X-Request-Id"] for answer in answers)
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_a_failed_request_is_a_line_with_its_ids(lines: io.StringIO, client: FlaskClient) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    wrong = {"Authorization": "Bearer abcdefghijkl", "traceparent": trace, "X-Request-Id": "r-7"}
    client.post("/v1/events?token=planted", json=tick(), headers=wrong)
    client.get("/v1/planted")
    client.get("/healthz")
    refused, unknown = (
        line for line in map(json.loads, lines.getvalue().splitlines()) if "status" in line
    )
    assert (refused["route"], refused["status"], refused["client"]) == (
        "/v1/events", 401, "127.0.0.1",
    )  # fmt: skip
    assert refused["request_id"] == "r-7"
    assert refused["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert (unknown["route"], unknown["status"]) == ("other", 404)
    assert "planted" not in lines.getvalue()
    assert "abcdefghijkl" not in lines.getvalue()
    assert logs.current_request.get() is None


@pytest.mark.parametrize(
    ("hops", "forwarded", "client_address", "scheme"),
    [
        (0, "6.6.6.6", "127.0.0.1", "http"),
        (1, "6.6.6.6, 10.0.0.1", "10.0.0.1", "https"),
        (2, "6.6.6.6, 10.0.0.2, 10.0.0.1", "10.0.0.2", "http"),
    ],
)
def test_only_the_configured_proxies_are_believed(
    sink: MemorySink, hops: int, forwarded: str, client_address: str, scheme: str
) -> None:
    app = create_app(settings(api_proxy_hops=hops), sink, clock_ms=lambda: NOW_MS)
    seen: list[tuple[str | None, str, str]] = []

    @app.get("/seen")
    def look() -> str:
        seen.append((request.remote_addr, request.scheme, request.host))
        return ""

    app.test_client().get(
        "/seen",
        headers={
            "X-Forwarded-For": forwarded,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "evil.example",
        },
    )
    assert seen == [(client_address, scheme, "localhost")]
