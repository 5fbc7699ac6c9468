import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from signers import jwk, jwks, pem, private
from ugc_api.auth import sources
from ugc_api.auth.jose import KeyMaterialError

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def issuer() -> Iterator[Callable[..., str]]:
    """Starts an issuer that answers as told, over TLS with a certificate; gives its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer, *, certificate: Path | None = None, key: Path | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass  # who does not trust it leaves in the middle

        server = Server(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"{scheme}://127.0.0.1:{server.server_address[1]}/jwks.json"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def write_certificate(certificate: Path, key: Path) -> None:
    """Of this machine, signed by itself."""
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(own.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(own, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def say(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


GOOD = jwks(jwk(private("EdDSA"), "k"))


def test_keys_from_an_issuer(issuer: Callable[..., str]) -> None:
    (key,) = sources.from_jwks(issuer(say(200, GOOD)))()
    assert key.kid == "k"


def test_a_redirect_is_not_followed(issuer: Callable[..., str]) -> None:
    asked: list[str] = []

    def another(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        say(200, GOOD)(handler)

    elsewhere = issuer(another)
    for status in (301, 302, 303, 307, 308):
        for place in (elsewhere, "file:///etc/passwd", "//" + elsewhere.split("//")[1]):
            with pytest.raises(OSError, match=str(status)):
                sources.from_jwks(issuer(say(status, GOOD, Location=place)))()
    assert asked == []


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_is_no_key_set(issuer: Callable[..., str], status: int) -> None:
    with pytest.raises(OSError, match=str(status)):
        sources.from_jwks(issuer(say(status, GOOD)))()


def test_an_endless_answer_is_cut(issuer: Callable[..., str]) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        say(200)(handler)
        try:
            while True:
                handler.wfile.write(b" " * 65536)
        except OSError:
            pass  # cut, as it should be

    with pytest.raises(KeyMaterialError, match="more than"):
        sources.from_jwks(issuer(endless))()


def test_a_slow_answer_is_cut(issuer: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "TIMEOUT_S", 0.3)
    over = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        say(200)(handler)
        try:
            while not over.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            pass  # cut, as it should be

    def slow_head(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
            while not over.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            pass  # cut, as it should be

    def silent(_: BaseHTTPRequestHandler) -> None:
        over.wait(10)

    try:
        for answer in (slow, slow_head, silent):
            with pytest.raises(OSError, match=r"slow|timed out"):
                sources.from_jwks(issuer(answer))()
    finally:
        over.set()


def test_an_issuer_without_a_certificate_that_is_trusted_is_none(
    issuer: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    write_certificate(certificate, key)
    url = issuer(say(200, GOOD), certificate=certificate, key=key)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        sources.from_jwks(url)()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert [key.kid for key in sources.from_jwks(url)()] == ["k"]


@pytest.mark.parametrize(
    "answer",
    [
        say(200, gzip.compress(GOOD), **{"Content-Encoding": "gzip"}),
        say(200, GOOD.decode().encode("utf-16")[:-1]),
        say(200, b'{"keys": ' + b"[" * 100_000),
        say(200, b'{"keys": [{"kty": "RSA", "n": ' + b"1" * 100_000 + b"}]}"),
        say(200, b"<html>sign in</html>", **{"Content-Type": "text/html"}),
        say(204),
    ],
)
def test_what_an_issuer_says_instead_of_keys_is_told(
    issuer: Callable[..., str], answer: Answer
) -> None:
    with pytest.raises(KeyMaterialError):
        sources.from_jwks(issuer(answer))()


def test_what_is_not_http_is_told(issuer: Callable[..., str]) -> None:
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
