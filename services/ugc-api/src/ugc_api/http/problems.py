"""What is wrong with a request, as a problem document (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from ugc_api.auth import ForbiddenError, UnauthorizedError
from ugc_api.bodies import (
    ENCODINGS,
    BrokenEncodingError,
    ExpandsTooFarError,
    UnknownEncodingError,
)
from ugc_api.ingest import BodyError, BodyFault
from ugc_api.metrics import Metrics
from ugc_api.openapi import Problem
from ugc_api.rate_limit import WINDOW_S, RateLimitedError


class MediaTypeError(Exception):
    """The body is of a type that the route does not take. The message may be shown."""


def problem(status: HTTPStatus, kind: str, detail: str, **headers: str) -> Response:
    """A problem document.

    Args:
        status: of the answer.
        kind: what clients branch on; the document's type is `urn:ugc:problem:<kind>`.
        detail: a sentence for the client's author.
        headers: of the answer, `_` for `-`.
    """
    body = Problem(f"urn:ugc:problem:{kind}", status.phrase, status.value, detail)
    response = Response(
        msgspec.json.encode(body), status.value, content_type="application/problem+json"
    )
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def handle_errors(app: Flask, metrics: Metrics, *, max_body_bytes: int) -> None:
    """Make every error of a request a problem document."""

    @app.errorhandler(BodyError)
    def body_error(error: BodyError) -> Response:
        too_much = error.fault in {BodyFault.TOO_MANY_EVENTS, BodyFault.EVENT_TOO_LARGE}
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_much else HTTPStatus.BAD_REQUEST
        return problem(status, error.fault.value, str(error))

    @app.errorhandler(MediaTypeError)
    def media_type(error: MediaTypeError) -> Response:
        return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media-type", str(error))

    @app.errorhandler(UnknownEncodingError)
    def unknown_encoding(error: UnknownEncodingError) -> Response:
        return problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "content-encoding",
            str(error),
            Accept_Encoding=", ".join(ENCODINGS),
        )

    @app.errorhandler(BrokenEncodingError)
    def broken_encoding(error: BrokenEncodingError) -> Response:
        return problem(HTTPStatus.BAD_REQUEST, "broken-encoding", str(error))

    @app.errorhandler(ExpandsTooFarError)
    def expands_too_far(_error: ExpandsTooFarError) -> Response:
        return problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body-too-large",
            f"a body has at most {max_body_bytes} bytes when it is decompressed",
        )

    @app.errorhandler(UnauthorizedError)
    def unauthorized(error: UnauthorizedError) -> Response:
        challenge = 'Bearer realm="ugc"' + (f', error="{error.error}"' if error.error else "")
        return problem(
            HTTPStatus.UNAUTHORIZED, "unauthorized", str(error), WWW_Authenticate=challenge
        )

    @app.errorhandler(ForbiddenError)
    def forbidden(error: ForbiddenError) -> Response:
        challenge = f'Bearer realm="ugc", error="insufficient_scope", scope="{error.scope}"'
        return problem(HTTPStatus.FORBIDDEN, "forbidden", str(error), WWW_Authenticate=challenge)

    @app.errorhandler(RateLimitedError)
    def rate_limited(error: RateLimitedError) -> Response:
        metrics.rate_limited(error.what)
        # The fields of draft-ietf-httpapi-ratelimit-headers.
        return problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate-limited",
            str(error),
            Retry_After=str(error.retry_after_s),
            RateLimit_Policy=f'"{error.what}";q={error.limit};w={WINDOW_S}',
            RateLimit=f'"{error.what}";r={error.remaining};t={error.retry_after_s}',
        )

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return problem(status, "body-too-large", f"a body has at most {max_body_bytes} bytes")
        kind = status.phrase.lower().replace(" ", "-")
        response = problem(status, kind, status.description)
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers[name] = value
        return response
