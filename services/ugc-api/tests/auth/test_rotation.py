"""Keys that change under a running server: an issuer's, and those of a mounted Secret."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from api_samples import tick, token
from gunicorn_process import Server, poll
from signers import jwk, jwks, pem, private, signed
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


class MountedSecret:
    """A volume as the kubelet keeps it: files are links into a directory that is replaced whole."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._versions = 0
        (directory / name).symlink_to(Path("..data") / name)
        self.path = directory / name

    def put(self, content: bytes) -> None:
        self._versions += 1
        version = self._directory / f"..version-{self._versions}"
        version.mkdir()
        (version / self.path.name).write_bytes(content)
        link = self._directory / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self._directory / "..data")


def shared(name: str) -> bytes:
    return name.encode() * 16


@pytest.mark.parametrize(
    ("setting", "material", "bearer"),
    [
        ("JWT_SECRET_FILE", shared, lambda name: token(shared(name).decode())),
        (
            "JWT_PUBLIC_KEY_FILE",
            lambda name: pem(private("EdDSA", name)),
            lambda name: signed("EdDSA", private("EdDSA", name)),
        ),
    ],
)
def test_keys_are_rotated_in_a_mounted_file(
    start: Callable[..., Server],
    tmp_path: Path,
    setting: str,
    material: Callable[[str], bytes],
    bearer: Callable[[str], str],
) -> None:
    volume = MountedSecret(tmp_path, "keys")
    volume.put(material("old"))
    server = start(
        f"127.0.0.1:{free_ports(1)[0]}",
        JWT_SECRET="",
        JWT_REFRESH_S="1",
        KAFKA_DELIVERY_TIMEOUT_MS="100",
        **{setting: str(volume.path)},
    )

    def known(name: str) -> bool:
        """Whether the server takes the key's tokens; Kafka is away, so then it says 503."""
        status = server.post(tick(), Authorization=f"Bearer {bearer(name)}")[0]
        assert status in (401, 400, 503)
        return status != 401

    def stale() -> bool:
        line = f'ugc_api_keys_stale{{source="{setting}"}} 1.0'
        return line in server.request("GET", "/metrics")[2].splitlines()

    poll(lambda: known("old"))
    assert not known("new")
    # Both, then a mistake, then a file that is not there: what was good stays good.
    volume.put(material("old") + b"\n" + material("new"))
    poll(lambda: known("new"))
    for mistake in (material("new") + b"\n" + material("old")[:20], b""):
        volume.put(mistake)
        poll(stale)
        assert known("old")
        assert known("new")
        assert "the keys" not in server.request("GET", "/readyz")[2]
    # The old key goes, and its tokens with it, though the server has verified them before.
    volume.put(material("new"))
    poll(lambda: not known("old"))
    assert known("new")
    assert not stale()
    server.process.terminate()
    said = server.process.communicate(timeout=20)[0]
    assert f"the keys of {setting} cannot be read" in said
    assert not [name for name in ("old", "new") if shared(name).decode() in said]
