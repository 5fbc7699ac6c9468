"""An issuer that changes its keys under a running server."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from api_samples import tick
from gunicorn_process import Server, poll
from signers import jwk, jwks, private, signed
from ugc_local.ports import free_ports


class Issuer:
    """Serves a key set; without one it answers 503."""

    def __init__(self) -> None:
        self.document: bytes | None = None
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                document = issuer.document
                self.send_response(503 if document is None else 200)
                self.end_headers()
                self.wfile.write(document or b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks.json"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


def test_a_running_server_follows_its_issuer(start: Callable[..., Server], issuer: Issuer) -> None:
    server = start(
        f"127.0.0.1:{free_ports(1)[0]}",
        JWT_SECRET="",
        JWT_JWKS=issuer.url,
        JWT_REFRESH_S="1",
        JWT_ALGORITHMS="ES256",
        KAFKA_DELIVERY_TIMEOUT_MS="100",
    )

    def known(kid: str) -> bool:
        """Whether the server takes the key's tokens; Kafka is away, so then it says 503."""
        token = signed("ES256", private("ES256", kid), kid)
        status = server.post(tick(), Authorization=f"Bearer {token}")[0]
        assert status in (401, 400, 503)
        return status != 401

    assert "the keys" in server.request("GET", "/readyz")[2]
    assert not known("old")
    issuer.document = jwks(jwk(private("ES256", "old"), "old"))
    poll(lambda: known("old"))
    assert "the keys" not in server.request("GET", "/readyz")[2]
    issuer.document = jwks(*(jwk(private("ES256", kid), kid) for kid in ("old", "new")))
    poll(lambda: known("new"))
    assert known("old")
    # The issuer is down: what was known stays known.
    issuer.document = None
    asked = issuer.asked
    poll(lambda: issuer.asked > asked)
    assert known("old")
    assert known("new")
    # The old key is withdrawn: its tokens end, though the server has verified them before.
    issuer.document = jwks(jwk(private("ES256", "new"), "new"))
    poll(lambda: not known("old"))
    assert known("new")
