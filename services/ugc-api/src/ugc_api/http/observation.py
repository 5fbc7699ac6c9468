"""What is noted of every request: its id, its metrics, a line where it failed."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from random import Random

from flask import Flask, Response, g, request

from ugc_api.logs import Request, current_request
from ugc_api.metrics import Metrics

_log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-Id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def observe(app: Flask, metrics: Metrics, timer_s: Callable[[], float]) -> None:
    """Add the hooks. A well-formed X-Request-Id is kept, else one is made; it is answered back."""
    # Seeded by the system once: to ask it for each request gives Python's lock to another thread.
    chance = Random()  # noqa: S311 - an id is no secret

    @app.before_request
    def begin() -> None:
        g.started_s = timer_s()
        metrics.begin()
        given = request.headers.get(REQUEST_ID, "")
        g.request_id = given if _WELL_FORMED.fullmatch(given) else f"{chance.getrandbits(128):032x}"
        current_request.set(Request(g.request_id, request.headers.get("traceparent")))

    @app.after_request
    def answered(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "other"
        seconds = timer_s() - g.started_s
        metrics.answered(route, response.status_code, seconds)
        response.headers[REQUEST_ID] = g.request_id
        if response.status_code >= 400:
            _tell(route, response.status_code, seconds)
        return response

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        current_request.set(None)
        metrics.end()


def _tell(route: str, status: int, seconds: float) -> None:
    """Of answers only errors are logged, with the rule that matched and never the path as asked."""
    fields = {
        "method": request.method,
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "client": request.remote_addr,
    }
    level = logging.WARNING if status >= 500 else logging.INFO
    _log.log(level, "answered %d", status, extra={"fields": fields})
