"""`POST /v1/events`."""

from __future__ import annotations

from flask import Flask, Response, request

from ugc_api.bodies import expand
from ugc_api.http.answers import Answers
from ugc_api.http.problems import MediaTypeError
from ugc_api.http.viewer import Viewers

JSON = "application/json"
LINES = ("application/x-ndjson", "application/jsonl")


def add_events(app: Flask, *, viewers: Viewers, answers: Answers, max_body_bytes: int) -> None:
    """Add the route."""

    @app.post("/v1/events")
    def post_events() -> Response:
        user_id = viewers.of(request)
        media_type = request.mimetype
        if media_type != JSON and media_type not in LINES:
            raise MediaTypeError(f"send Content-Type: {JSON} or {LINES[0]}")
        body = expand(
            request.get_data(cache=False),
            request.headers.get("Content-Encoding", ""),
            max_body_bytes,
        )
        return answers.to(body, user_id, lines=media_type != JSON)
