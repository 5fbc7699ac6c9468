"""The program of the API's `helm test`, as rendered, against the real application."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from rendering import Helm
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from ugc_api.settings import Settings
from ugc_settings import load


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(
    helm: Helm, values: dict[str, Any], folder: Path, keys: str = "", **changes: str
) -> tuple[MemorySink, int, str]:
    """Renders release and test, and runs the test's program against the release's settings.

    `keys` are what the Secret has instead of the one key.
    """
    rendered = helm.render("ugc-api", more=values)
    environ = rendered.on_disk(rendered.one("Deployment")["spec"]["template"], folder)
    if keys:
        Path(environ["JWT_SECRET_FILE"]).write_text(keys, "utf-8")
        changes["JWT_SECRET"] = keys
    sink = MemorySink()
    pod = rendered.one("Pod")
    (container,) = pod["spec"]["containers"]
    with serving(create_app(load(Settings, environ), sink)) as url:
        done = subprocess.run(
            [sys.executable, "-c", *container["args"]],
            env=rendered.environment(pod) | {"API_URL": url} | changes,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    return sink, done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"jwt": {"secret": "a-secret-of-at-least-thirty-two-bytes", "generate": False}},
        {"settings": {"JWT_AUDIENCE": "ugc", "JWT_ISSUER": "i", "JWT_SCOPE": "events"}},
    ],
)
@pytest.mark.proves("`helm test` of the API, as rendered, sends an event", by="running")
def test_an_event_arrives(helm: Helm, values: dict[str, Any], tmp_path: Path) -> None:
    sink, status, said = run(helm, values, tmp_path)
    assert (status, len(sink.records)) == (0, 1), said
    assert "an event: 202" in said


@pytest.mark.parametrize("keys", [
    f"{'a' * 40}\n{'b' * 40}\n",
    json.dumps({"keys": [{"kty": "oct", "kid": "new", "k": "Y" * 43}]}),
], ids=["lines", "set"])  # fmt: skip
def test_an_event_arrives_while_keys_are_rotated(helm: Helm, keys: str, tmp_path: Path) -> None:
    sink, status, said = run(helm, {}, tmp_path, keys)
    assert (status, len(sink.records)) == (0, 1), said


def test_another_key_fails_the_test(helm: Helm, tmp_path: Path) -> None:
    values = {"jwt": {"secret": "a-secret-of-at-least-thirty-two-bytes", "generate": False}}
    sink, status, said = run(helm, values, tmp_path, JWT_SECRET="y" * 40)
    assert (status, len(sink.records)) == (1, 0), said


def test_the_service_is_asked_by_its_name(helm: Helm) -> None:
    rendered = helm.render("ugc-api", "external")
    service = rendered.one("Service")
    (port,) = service["spec"]["ports"]
    environ = rendered.environment(rendered.one("Pod"))
    assert environ["API_URL"] == f"http://{service['metadata']['name']}:{port['port']}"
