"""Whether the process is alive and ready, and the HTTP server that says so."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ugc_etl.metrics import CONTENT_TYPE, Metrics

log = logging.getLogger(__name__)


class Health:
    """Written by the loop, read by the probes.

    Alive means that the loop turned within `stuck_after_s`; ready that nothing it needs at the
    start is missing. A sink that is down makes neither false: a restart would not help.
    """

    def __init__(self, clock_s: Callable[[], float], stuck_after_s: float) -> None:
        self._clock_s = clock_s
        self._stuck_after_s = stuck_after_s
        self._turned_at_s = clock_s()
        self._waiting_for = "starting"

    def turned(self) -> None:
        """The loop has turned."""
        self._turned_at_s = self._clock_s()

    def waiting_for(self, what: str) -> None:
        """What is missing, in words; nothing is missing when empty."""
        self._waiting_for = what

    def alive(self) -> tuple[bool, str]:
        """Whether the loop turns, and a sentence."""
        silent_s = self._clock_s() - self._turned_at_s
        return silent_s <= self._stuck_after_s, f"the loop turned {silent_s:.1f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Whether all is there, and a sentence."""
        return not self._waiting_for, self._waiting_for or "ready"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that gives up is no news; whatever else fails goes to the log."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            log.error("a probe was not answered: %s", client_address, exc_info=True)


def serve(host: str, port: int, health: Health, metrics: Metrics) -> ThreadingHTTPServer:
    """Serve /metrics, /healthz and /readyz in a thread. Port 0 takes a free one.

    Raises OSError where the address cannot be had. `shutdown()` and `server_close()` stop it.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, metrics.render(), CONTENT_TYPE)
            elif path in ("/healthz", "/readyz"):
                fine, sentence = health.alive() if path == "/healthz" else health.ready()
                self._answer(200 if fine else 503, f"{sentence}\n".encode(), "text/plain")
            else:
                self._answer(404, b"/metrics, /healthz and /readyz are here\n", "text/plain")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds; they are no news."""

    server = _Server((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server
