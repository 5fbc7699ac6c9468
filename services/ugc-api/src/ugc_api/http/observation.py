"""What is noted of every request: its id, its metrics, a line where it failed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from flask import Flask, Response, g, request

from ugc_api.access_log import AccessLog
from ugc_api.logs import Request, current_request
from ugc_api.metrics import Metrics

REQUEST_ID = "X-Request-Id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def observe(app: Flask, metrics: Metrics, timer_s: Callable[[], float]) -> None:
    """Add the hooks. A well-formed X-Request-Id is kept, else one is made; it is answered back."""
    access_log = AccessLog(timer_s)

    @app.before_request
    def begin() -> None:
        g.started_s = timer_s()
        metrics.begin()
        given = request.headers.get(REQUEST_ID, "")
        g.request_id = given if _WELL_FORMED.fullmatch(given) else secrets.token_hex(16)
        current_request.set(Request(g.request_id, request.headers.get("traceparent")))

    @app.after_request
    def answered(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "other"
        seconds = timer_s() - g.started_s
        metrics.answered(route, response.status_code, seconds)
        response.headers[REQUEST_ID] = g.request_id
        if response.status_code >= 400:
            access_log.answered(
                request.method, route, response.status_code, seconds, request.remote_addr
            )
        return response

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        current_request.set(None)
        metrics.end()
