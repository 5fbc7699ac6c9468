"""`POST /v1/events`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from flask import Flask, Response, request

from ugc_api.http.problems import problem
from ugc_api.http.viewer import Viewers
from ugc_api.ingest import Ingest
from ugc_api.metrics import Metrics
from ugc_api.ports import EventSink, SinkUnavailable

_log = logging.getLogger(__name__)


def add_events(
    app: Flask,
    *,
    viewers: Viewers,
    ingest: Ingest,
    sink: EventSink,
    metrics: Metrics,
    clock_ms: Callable[[], int],
    deadline_s: float,
) -> None:
    """Add the route. A request waits for Kafka until `deadline_s` at the most."""

    @app.post("/v1/events")
    def post_events() -> Response:
        user_id = viewers.of(request)
        if request.mimetype != "application/json":
            return problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "send Content-Type: application/json",
            )
        if request.headers.get("Content-Encoding", "identity") != "identity":
            return problem(
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


def _unavailable(error: SinkUnavailable, total: int) -> Response:
    detail = (
        f"Kafka has acknowledged {error.acknowledged} of {total} valid events in time; nothing is "
        "accepted: repeat the whole request, with the same event_id in each event"
    )
    # Metrics count these by cause; in an outage a line for each would drown what Kafka says.
    _log.debug("not acknowledged: %s", error)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not-acknowledged",
        detail,
        Retry_After=str(error.retry_after_s),
    )
