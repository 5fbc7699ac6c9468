"""What the platform asks of the process: is it alive, is it ready, how does it fare."""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, Response

from ugc_api.auth import TokenVerifier
from ugc_api.http.problems import problem
from ugc_api.metrics import Metrics
from ugc_api.ports import EventSink


def add_probes(app: Flask, sink: EventSink, tokens: TokenVerifier, metrics: Metrics) -> None:
    """Add `/healthz`, `/readyz` and `/metrics`."""

    @app.get("/healthz")
    def healthz() -> Response:
        reason = sink.broken()
        if reason is not None:
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "broken", reason)
        return Response("ok\n", content_type="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        reason = tokens.not_ready() or sink.not_ready()
        if reason is not None:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", reason)
        return Response("ready\n", content_type="text/plain")

    @app.get("/metrics")
    def get_metrics() -> Response:
        return Response(metrics.render(), content_type=metrics.content_type)
