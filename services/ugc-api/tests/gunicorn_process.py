"""A gunicorn process as it is deployed, for tests."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

from api_samples import SECRET, headers

COMMAND = [
    *(sys.executable, "-m", "gunicorn"),
    *("-c", "python:ugc_api.gunicorn_conf", "ugc_api.wsgi:app"),
]


class Server:
    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port = port
        self.process = process

    def request(
        self, method: str, path: str, body: Any = None, timeout_s: float = 30, **more: str
    ) -> tuple[int, dict[str, str], str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, headers(**more))
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            connection.close()

    def post(self, events: Any, **more: str) -> tuple[int, dict[str, str], str]:
        return self.request("POST", "/v1/events", events, **more)

    def status(self, path: str, timeout_s: float = 30) -> int | None:
        try:
            return self.request("GET", path, timeout_s=timeout_s)[0]
        except ConnectionError:
            return None

    def in_flight(self) -> int:
        """Requests in flight, less the one that asks."""
        for line in self.request("GET", "/metrics")[2].splitlines():
            if line.startswith("ugc_api_requests_in_flight "):
                return int(float(line.split()[1])) - 1
        raise AssertionError("the metric is missing")


def poll(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def environment(**changes: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"JWT_SECRET": SECRET} | changes
