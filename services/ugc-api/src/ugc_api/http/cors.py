"""Calls from web pages of other origins (the Fetch standard's CORS protocol).

The API knows its callers by a header that pages set themselves and never by cookies, so there are
no credentials to allow, and what is left of the protocol is these few headers.
"""

from __future__ import annotations

from collections.abc import Collection

from flask import Flask, Response, request

_ALLOWED = (
    "Authorization, Content-Type, Content-Encoding, Idempotency-Key, traceparent, tracestate, "
    "X-Request-Id"
)
_EXPOSED = "Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id"
MAX_AGE_S = 7200
"""How long a browser may remember a preflight's answer: the most that Chromium takes."""


def allow_origins(app: Flask, origins: Collection[str]) -> None:
    """Let pages of these origins call the API; `*` is any."""
    any_origin = "*" in origins

    def allowed() -> bool:
        return any_origin or request.headers.get("Origin") in origins

    @app.before_request
    def preflight() -> Response | None:
        if (
            request.method != "OPTIONS"
            or request.url_rule is None
            or "Access-Control-Request-Method" not in request.headers
            or not allowed()
        ):
            return None
        response = Response(status=204)
        methods = (request.url_rule.methods or set()) - {"HEAD", "OPTIONS"}
        response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
        response.headers["Access-Control-Allow-Headers"] = _ALLOWED
        response.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
        return response

    @app.after_request
    def name_origin(response: Response) -> Response:
        if not any_origin:
            # Also where there is none: what a cache keeps must not be given to another origin.
            response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin is not None and allowed():
            response.headers["Access-Control-Allow-Origin"] = "*" if any_origin else origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response
