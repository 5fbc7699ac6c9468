"""The HTTP surface; the one module here that imports Flask."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from uuid import UUID

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from ugc_api.auth import TokenVerifier, UnauthorizedError
from ugc_api.event_ids import RANDOM_BITS, uuid7
from ugc_api.ingest import BodyError, BodyFault, Ingest
from ugc_api.metrics import Metrics
from ugc_api.ports import EventSink, SinkUnavailable
from ugc_api.settings import Settings

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    sink: EventSink,
    *,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    new_event_id: Callable[[], UUID] | None = None,
    timer_s: Callable[[], float] = time.perf_counter,
) -> Flask:
    """Build the API.

    Args:
        settings: all of them.
        sink: where events go; the caller closes it.
        clock_ms: the server's clock, ms since the epoch.
        new_event_id: ids for events that came without one; by default UUIDv7 of `clock_ms`.
        timer_s: measures how long requests take.
    """
    app = Flask("ugc_api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.api_max_body_bytes
    metrics = Metrics()
    tokens = TokenVerifier(
        settings.jwt_secret,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        leeway_s=settings.jwt_leeway_s,
    )
    ingest = Ingest(
        topic_prefix=settings.kafka.kafka_topic_prefix,
        max_batch=settings.api_max_batch,
        new_event_id=new_event_id or (lambda: uuid7(clock_ms(), secrets.randbits(RANDOM_BITS))),
    )
    deadline_s = settings.kafka_delivery_timeout_ms / 1000

    @app.post("/v1/events")
    def post_events() -> Response:
        user_id = tokens.user_id(request.headers.get("Authorization"))
        if request.mimetype != "application/json":
            return _problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "send Content-Type: application/json",
            )
        if request.headers.get("Content-Encoding", "identity") != "identity":
            return _problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media-type", "send the body uncompressed"
            )
        intake = ingest.read(
            request.get_data(cache=False),
            user_id=user_id,
            received_at_ms=clock_ms(),
            traceparent=request.headers.get("traceparent"),
        )
        metrics.invalid(intake.reasons)
        if intake.records:
            try:
                sink.publish(intake.records, deadline_s)
            except SinkUnavailable as error:
                metrics.unavailable(intake.families, error.cause)
                return _unavailable(error, len(intake.records))
            metrics.accepted(intake.families)
        return Response(
            intake.answer.encode(), intake.answer.status, content_type="application/json"
        )

    @app.get("/healthz")
    def healthz() -> Response:
        reason = sink.broken()
        if reason is not None:
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "broken", reason)
        return Response("ok\n", content_type="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        reason = sink.not_ready()
        if reason is not None:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", reason)
        return Response("ready\n", content_type="text/plain")

    @app.get("/metrics")
    def get_metrics() -> Response:
        return Response(metrics.render(), content_type=metrics.content_type)

    @app.errorhandler(BodyError)
    def body_error(error: BodyError) -> Response:
        too_many = error.fault is BodyFault.TOO_MANY_EVENTS
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_many else HTTPStatus.BAD_REQUEST
        return _problem(status, error.fault.value, str(error))

    @app.errorhandler(UnauthorizedError)
    def unauthorized(error: UnauthorizedError) -> Response:
        response = _problem(HTTPStatus.UNAUTHORIZED, "unauthorized", str(error))
        challenge = 'Bearer realm="ugc"' + (f', error="{error.error}"' if error.error else "")
        response.headers["WWW-Authenticate"] = challenge
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            limit = f"a body has at most {settings.api_max_body_bytes} bytes"
            return _problem(status, "body-too-large", limit)
        response = _problem(status, status.phrase.lower().replace(" ", "-"), status.description)
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers[name] = value
        return response

    @app.before_request
    def begin() -> None:
        g.started_s = timer_s()
        metrics.begin()

    @app.after_request
    def answered(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "other"
        metrics.answered(route, response.status_code, timer_s() - g.started_s)
        return response

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        metrics.end()

    return app


def _unavailable(error: SinkUnavailable, total: int) -> Response:
    detail = (
        f"Kafka has acknowledged {error.acknowledged} of {total} valid events in time; nothing is "
        "accepted: repeat the whole request, with the same event_id in each event"
    )
    # Metrics count these by cause; in an outage a line for each would drown what Kafka says.
    _log.debug("not acknowledged: %s", error)
    response = _problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-acknowledged", detail)
    response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _problem(status: HTTPStatus, kind: str, detail: str) -> Response:
    """A problem document (RFC 9457); `kind` is what clients branch on."""
    body = {
        "type": f"urn:ugc:problem:{kind}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    return Response(
        msgspec.json.encode(body), status.value, content_type="application/problem+json"
    )
