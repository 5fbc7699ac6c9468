"""The whole API as one WSGI application."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from importlib.metadata import version
from uuid import UUID

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from ugc_api.auth import build_verifier
from ugc_api.event_ids import RANDOM_BITS, uuid7
from ugc_api.http.answers import Answers
from ugc_api.http.bodies import Bodies
from ugc_api.http.cors import allow_origins
from ugc_api.http.docs import add_docs
from ugc_api.http.events import add_events
from ugc_api.http.observation import observe
from ugc_api.http.probes import add_probes
from ugc_api.http.problems import handle_errors
from ugc_api.http.reactions import add_reactions
from ugc_api.http.viewer import Viewers
from ugc_api.ingest import Ingest
from ugc_api.metrics import Metrics
from ugc_api.openapi import document
from ugc_api.ports import EventSink
from ugc_api.rate_limit import Allowance
from ugc_api.settings import Settings
from ugc_api.turns import Turns

_DAY_MS = 86_400_000


def create_app(
    settings: Settings,
    sink: EventSink,
    *,
    turns: Turns | None = None,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    new_event_id: Callable[[], UUID] | None = None,
    timer_s: Callable[[], float] = time.perf_counter,
) -> Flask:
    """Build the API.

    Args:
        settings: all of them.
        sink: where events go; the caller closes it.
        turns: in which requests are handled; None where each has a thread.
        clock_ms: the server's clock, ms since the epoch.
        new_event_id: ids for events that came without one; by default UUIDv7 of `clock_ms`.
        timer_s: measures how long requests take.
    """
    app = Flask("ugc_api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.api_max_body_bytes
    hops = settings.api_proxy_hops
    if hops:
        # Each proxy appends what it saw; what stands before that, anybody can have written.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # Flask's documented way
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=0
        )
    metrics = Metrics()
    # For the server: it has things to count that no request gets to know, and gives the turns.
    app.extensions["ugc_api.metrics"] = metrics
    app.extensions["ugc_api.turns"] = turns = turns or Turns()
    tokens = build_verifier(settings, on_reading=metrics.keys_read, turns=turns)
    new_event_id = new_event_id or (lambda: uuid7(clock_ms(), secrets.randbits(RANDOM_BITS)))
    ingest = Ingest(
        topic_prefix=settings.kafka.kafka_topic_prefix,
        max_batch=settings.api_max_batch,
        new_event_id=new_event_id,
        max_age_ms=settings.api_max_event_age_days * _DAY_MS or None,
    )
    viewers = Viewers(
        tokens,
        Allowance("requests", settings.api_requests_per_minute),
        anonymous=settings.api_anonymous_viewers == "pseudonym",
    )
    handle_errors(app, metrics, max_body_bytes=settings.api_max_body_bytes)
    observe(app, metrics, timer_s)
    if settings.api_cors_origins:
        allow_origins(app, settings.api_cors_origins.split(","))
    answers = Answers(
        ingest,
        sink,
        Allowance("events", settings.api_events_per_minute),
        metrics,
        clock_ms=clock_ms,
        deadline_s=settings.kafka_delivery_timeout_ms / 1000,
    )
    bodies = Bodies(settings.api_max_body_bytes)
    add_events(app, viewers=viewers, bodies=bodies, answers=answers)
    add_reactions(
        app,
        viewers=viewers,
        bodies=bodies,
        answers=answers,
        clock_ms=clock_ms,
        new_event_id=new_event_id,
    )
    add_docs(
        app,
        document(
            version=version("ugc-api"),
            max_batch=settings.api_max_batch,
            max_body_bytes=settings.api_max_body_bytes,
        ),
    )
    add_probes(app, sink, tokens, metrics)
    return app
