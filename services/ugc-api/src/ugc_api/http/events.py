"""`POST /v1/events`."""

from __future__ import annotations

from flask import Flask, Response, request

from ugc_api.http.answers import Answers
from ugc_api.http.bodies import Bodies
from ugc_api.http.viewer import Viewers


def add_events(app: Flask, *, viewers: Viewers, bodies: Bodies, answers: Answers) -> None:
    """Add the route."""

    @app.post("/v1/events")
    def post_events() -> Response:
        viewer = viewers.of(request)
        body, lines = bodies.events()
        return answers.to(body, viewer, lines=lines)
