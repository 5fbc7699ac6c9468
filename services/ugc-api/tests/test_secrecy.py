"""Tokens and secrets are planted everywhere, and looked for in all that the process says."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from api_samples import SECRET, tick, token
from gunicorn_process import Server, poll
from ugc_local.ports import free_ports

PASSWORD = "planted-sasl-password"


@pytest.mark.parametrize("level", ["debug", "info"])
def test_no_output_holds_a_token_or_a_secret(start: Callable[..., Server], level: str) -> None:
    server = start(
        f"127.0.0.1:{free_ports(1)[0]}",
        LOG_LEVEL=level,
        KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        KAFKA_SASL_USERNAME="somebody",
        KAFKA_SASL_PASSWORD=PASSWORD,
        KAFKA_DELIVERY_TIMEOUT_MS="300",
        API_REQUESTS_PER_MINUTE="2",
    )
    good, expired = token(), token(exp=1)
    opaque = "planted0opaque0token"
    statuses = [
        server.post(tick(occurred_at=time.time_ns() // 1_000_000))[0],
        server.post(b"[".decode())[0],
        server.post(tick())[0],
        *(server.post(tick(), Authorization=f"Bearer {bad}")[0] for bad in (expired, opaque)),
        server.request("GET", f"/v1/events?access_token={good}&x={opaque}")[0],
        server.request("GET", f"/{opaque}/{good}")[0],
    ]
    assert statuses[0] == 503
    assert statuses[3:] == [401, 401, 405, 404]
    for malformed in (
        f"GET /{opaque} HTTP/1.1\r\nAuthorization : Bearer {opaque}\r\n\r\n",
        f"GET /{opaque} HTTP/1.1\r\nAuthorization: Bearer {good}\x00\r\n\r\n",
        f"{opaque} {good}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{opaque}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            sock.sendall(malformed.encode())
            assert b" 400 " in sock.recv(1000)
    server.process.terminate()
    said = server.process.communicate(timeout=20)[0]
    assert '"status": 401' in said
    assert '"status": 503' in said
    planted = [SECRET, PASSWORD, opaque, good, expired, good.split(".")[2]]
    assert [line for line in said.splitlines() if any(text in line for text in planted)] == []


def test_a_missing_key_set_is_told_without_what_is_in_it(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    path = tmp_path / "jwks.json"
    path.write_text('{"keys": [{"kty": "oct", "k": "planted-shared-key"}]}')
    server = start(
        f"127.0.0.1:{free_ports(1)[0]}", JWT_SECRET="", JWT_JWKS=str(path), LOG_LEVEL="debug"
    )
    poll(lambda: "no usable key" in server.request("GET", "/readyz")[2])
    server.process.terminate()
    said = server.process.communicate(timeout=20)[0]
    assert "no usable key in the set" in said
    assert "planted-shared-key" not in said
