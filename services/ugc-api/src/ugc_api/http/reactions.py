"""`PUT` and `DELETE` of `/v1/films/{film_id}/rating`, `bookmark` and `review`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

from flask import Flask, Response, request

from ugc_api.http.answers import Answers
from ugc_api.http.bodies import Bodies
from ugc_api.http.viewer import Viewers
from ugc_api.reactions import RESOURCES, Resource, reaction


def add_reactions(
    app: Flask,
    *,
    viewers: Viewers,
    bodies: Bodies,
    answers: Answers,
    clock_ms: Callable[[], int],
    new_event_id: Callable[[], UUID],
) -> None:
    """Add the routes."""

    def react(film_id: UUID, resource: Resource) -> Response:
        viewer = viewers.of(request)
        event = reaction(
            resource,
            bodies.json_or_nothing(),
            film_id=film_id,
            removed=request.method == "DELETE",
            idempotency_key=request.headers.get("Idempotency-Key"),
            user_id=viewer.user_id,
            now_ms=clock_ms(),
            new_id=new_event_id(),
        )
        return answers.to(event, viewer)

    for resource in RESOURCES:
        app.add_url_rule(
            f"/v1/films/<uuid:film_id>/{resource.name}",
            resource.name,
            partial(react, resource=resource),
            methods=["PUT", "DELETE"],
        )
