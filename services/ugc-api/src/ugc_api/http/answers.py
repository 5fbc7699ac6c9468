"""From a request's events to its answer, when Kafka has said what became of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from flask import Response, request

from ugc_api.http.problems import problem
from ugc_api.http.viewer import Viewer
from ugc_api.ingest import Ingest, Intake
from ugc_api.metrics import Metrics
from ugc_api.ports import EventSink, SinkUnavailable
from ugc_api.rate_limit import Allowance

_log = logging.getLogger(__name__)


class Answers:
    """Answers requests that carry events.

    Args:
        ingest: reads bodies.
        sink: where events go.
        allowance: of events for each viewer.
        metrics: counts what became of them.
        clock_ms: the server's clock, ms since the epoch.
        deadline_s: how long a request waits for Kafka at the most.
    """

    def __init__(
        self,
        ingest: Ingest,
        sink: EventSink,
        allowance: Allowance,
        metrics: Metrics,
        *,
        clock_ms: Callable[[], int],
        deadline_s: float,
    ) -> None:
        self._ingest = ingest
        self._sink = sink
        self._allowance = allowance
        self._metrics = metrics
        self._clock_ms = clock_ms
        self._deadline_s = deadline_s

    def to(self, body: bytes, viewer: Viewer, *, lines: bool = False) -> Response:
        """Publish the events of a body. Raises BodyError, RateLimitedError.

        Args:
            body: decompressed.
            viewer: whose events these are.
            lines: see `Ingest.read`.
        """
        intake = self._ingest.read(
            body,
            user_id=viewer.user_id,
            received_at_ms=self._clock_ms(),
            traceparent=request.headers.get("traceparent"),
            lines=lines,
        )
        self._metrics.invalid(intake.reasons)
        records = intake.batch.records
        if records:
            self._allowance.spend(viewer.payer, len(records))
            try:
                self._sink.publish(intake.batch, self._deadline_s)
            except SinkUnavailable as error:
                return self._partly(intake, error)
            self._metrics.accepted(self._ingest.families_of(records))
        status, answer = intake.answer()
        return Response(answer, status, content_type="application/json")

    def _partly(self, intake: Intake, error: SinkUnavailable) -> Response:
        records = intake.batch.records
        stored = [record for place, record in enumerate(records) if place in error.stored]
        rest = [record for place, record in enumerate(records) if place not in error.stored]
        self._metrics.accepted(self._ingest.families_of(stored))
        self._metrics.unavailable(self._ingest.families_of(rest), error.cause)
        # Metrics count these by cause; in an outage a line for each would drown what Kafka says.
        _log.debug("not acknowledged: %s", error)
        retry_after = str(error.retry_after_s)
        if stored:
            status, answer = intake.answer(error.stored)
            response = Response(answer, status, content_type="application/json")
            response.headers["Retry-After"] = retry_after
            return response
        return problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "not-acknowledged",
            "Kafka has acknowledged nothing in time, and no event is accepted: repeat the whole "
            "request, with the same event_id in each event",
            Retry_After=retry_after,
        )
