import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from signers import jwk, jwks, pem, private
from ugc_api.auth import sources
from ugc_api.auth.jose import KeyMaterialError

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def issuer() -> Iterator[Callable[[Answer], str]]:
    """Starts an issuer that answers as told; gives its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/jwks.json"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def say(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


GOOD = jwks(jwk(private("EdDSA"), "k"))


def test_keys_from_an_issuer(issuer: Callable[[Answer], str]) -> None:
    (key,) = sources.from_jwks(issuer(say(200, GOOD)))()
    assert key.kid == "k"


def test_a_redirect_is_not_followed(issuer: Callable[[Answer], str]) -> None:
    elsewhere = issuer(say(200, GOOD))
    with pytest.raises(OSError, match="302"):
        sources.from_jwks(issuer(say(302, Location=elsewhere)))()


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_is_no_key_set(issuer: Callable[[Answer], str], status: int) -> None:
    with pytest.raises(OSError, match=str(status)):
        sources.from_jwks(issuer(say(status, GOOD)))()


def test_an_endless_answer_is_cut(issuer: Callable[[Answer], str]) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        say(200)(handler)
        try:
            while True:
                handler.wfile.write(b" " * 65536)
        except OSError:
            pass  # cut, as it should be

    with pytest.raises(KeyMaterialError, match="more than"):
        sources.from_jwks(issuer(endless))()


def test_a_slow_answer_is_cut(
    issuer: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "TIMEOUT_S", 0.3)
    over = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        say(200)(handler)
        try:
            while not over.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            pass  # cut, as it should be

    def silent(_: BaseHTTPRequestHandler) -> None:
        over.wait(10)

    try:
        for answer in (slow, silent):
            with pytest.raises(OSError, match=r"slow|timed out"):
                sources.from_jwks(issuer(answer))()
    finally:
        over.set()


def test_what_is_not_http_is_told(issuer: Callable[[Answer], str]) -> None:
    def nonsense(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"hello\r\n")

    with pytest.raises(OSError, match="breaks HTTP"):
        sources.from_jwks(issuer(nonsense))()
    with pytest.raises(OSError, match="refused"):
        sources.from_jwks("http://127.0.0.1:1/")()
    for address in ("http://[::1/", "http://127.0.0.1:port/", "http://a..b/", "http://a\tb/"):
        with pytest.raises(OSError, match=r"not an address|InvalidURL|not known|resolution"):
            sources.from_jwks(address)()


def test_keys_from_files(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(GOOD)
    assert [key.kid for key in sources.from_jwks(str(path))()] == ["k"]
    path.write_bytes(pem(private("ES256")))
    assert [key.algorithm for key in sources.from_pem(str(path))()] == ["ES256"]
    path.write_bytes(b"s" * 32)
    assert [key.algorithm for key in sources.from_secrets(str(path))()] == ["HS256"]
    path.write_bytes(b" " * (sources.MAX_BYTES + 1))
    for kind in (sources.from_jwks, sources.from_pem, sources.from_secrets):
        read = kind(str(path))
        with pytest.raises(KeyMaterialError, match="more than"):
            read()
    with pytest.raises(OSError, match="No such file"):
        sources.from_jwks(str(tmp_path / "none"))()
