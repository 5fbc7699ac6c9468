"""The API's description in OpenAPI 3.1. Schemas come from the types that decode and encode."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Union

import msgspec
from ugc_events.submission import SUBMISSIONS

from ugc_api.bodies import ENCODINGS
from ugc_api.ingest import Answer
from ugc_api.reactions import RESOURCES, Resource

Json = dict[str, Any]

_REF = "#/components/schemas/"
_ENVELOPE = ("event_id", "occurred_at", "session_id", "schema_version")

_MEANINGS = {
    HTTPStatus.BAD_REQUEST: "The body is not JSON, has no events, or is not what its encoding says",
    HTTPStatus.UNAUTHORIZED: "No token, or one that is not valid here",
    HTTPStatus.FORBIDDEN: "The token has not the scope that is asked for",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not come in time",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large, as it came or decompressed, or "
    "has too many events",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of a type or in a coding that is not taken",
    HTTPStatus.TOO_MANY_REQUESTS: "The viewer has sent enough for now",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request's head is too large",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of the server's",
    HTTPStatus.SERVICE_UNAVAILABLE: "Kafka has acknowledged nothing in time, or the server has no "
    "room: repeat the whole request later, with the same event ids",
}
_HEADERS: dict[HTTPStatus, tuple[str, ...]] = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.FORBIDDEN: ("WWW-Authenticate",),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("Accept-Encoding",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
}


class Problem(msgspec.Struct):
    """What is wrong with a request (RFC 9457).

    Attributes:
        type: `urn:ugc:problem:<kind>`, what clients branch on.
        title, detail: for people.
        status: the answer's own.
    """

    type: str
    title: str
    status: int
    detail: str


def document(*, version: str, max_batch: int, max_body_bytes: int) -> Json:
    """Describe the API as it is set up."""
    (event, answer, problem), schemas = msgspec.json.schema_components(
        [Union[tuple(SUBMISSIONS)], Answer, Problem],  # noqa: UP007
        ref_template=_REF + "{name}",
    )
    schemas["Event"] = event
    for submission, event_type in SUBMISSIONS.items():
        # A limit that has a verdict of its own, and so is not one of the type's.
        version_schema = schemas[submission.__name__]["properties"]["schema_version"]
        version_schema["maximum"] = event_type.VERSION
    batch = {
        "type": "array",
        "items": {"$ref": _REF + "Event"},
        "minItems": 1,
        "maxItems": max_batch,
    }
    lines = {"type": "string", "description": "One event a line, as JSON."}
    body = {
        "required": True,
        "content": {
            "application/json": {"schema": {"anyOf": [{"$ref": _REF + "Event"}, batch]}},
            "application/x-ndjson": {"schema": lines},
            "application/jsonl": {"schema": lines},
        },
    }
    taken = _taken(answer, problem)
    paths: Json = {
        "/v1/events": {
            "post": {
                "operationId": "postEvents",
                "summary": "Send one event or many",
                "description": f"At most {max_batch} events and {max_body_bytes} bytes, "
                "decompressed too. Repeating a request does no harm where each event has an "
                "`event_id`.",
                "tags": ["events"],
                "parameters": [_encoding()],
                "requestBody": body,
                "responses": taken
                | {
                    "207": _answer(
                        "Some events are accepted, others are invalid or to be sent again",
                        answer,
                        headers=("Retry-After",),
                    )
                },
            }
        },
        **{
            f"/v1/films/{{film_id}}/{resource.name}": _resource(resource, schemas, taken)
            for resource in RESOURCES
        },
        "/healthz": _probe("healthz", "Is the process alive", problem, (500,)),
        "/readyz": _probe("readyz", "Would events be taken now", problem, (503,)),
        "/metrics": _probe("metrics", "Figures in the text format of Prometheus", problem, ()),
        "/openapi.json": _page("openapi", "This description", "application/json"),
        "/docs": _page("docs", "This description, to be looked through", "text/html"),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "UGC API",
            "version": version,
            "description": "What people watch. `202` means that Kafka has it, durably.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
        "security": [{"token": []}],
    }


def _taken(answer: Json, problem: Json) -> Json:
    """The answers of every route that takes events."""
    statuses = [status for status in _MEANINGS if status is not HTTPStatus.BAD_REQUEST]
    both = _problem(HTTPStatus.BAD_REQUEST, problem)
    both["content"]["application/json"] = {"schema": answer}
    both["description"] += "; or no event of it is valid, and `results` say why"
    return {
        "202": _answer("Every event is accepted, or a duplicate of one that is", answer),
        "400": both,
        **{str(status.value): _problem(status, problem) for status in statuses},
    }


def _answer(description: str, schema: Json, headers: Iterable[str] = ()) -> Json:
    return {
        "description": description,
        "headers": {name: {"schema": {"type": "string"}} for name in headers},
        "content": {"application/json": {"schema": schema}},
    }


def _problem(status: HTTPStatus, schema: Json) -> Json:
    return {
        "description": _MEANINGS[status],
        "headers": {name: {"schema": {"type": "string"}} for name in _HEADERS.get(status, ())},
        "content": {"application/problem+json": {"schema": schema}},
    }


def _encoding() -> Json:
    return {
        "name": "Content-Encoding",
        "in": "header",
        "schema": {"type": "string", "enum": ["identity", *ENCODINGS]},
    }


def _resource(resource: Resource, schemas: Json, taken: Json) -> Json:
    event = next(
        schema
        for schema in schemas.values()
        if schema.get("properties", {}).get("type", {}).get("enum") == [resource.name]
    )
    envelope = {name: event["properties"][name] for name in _ENVELOPE}
    own = {resource.field: event["properties"][resource.field]} if resource.given else {}
    parameters = [
        {
            "name": "film_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"},
        },
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Names the event where the body has no `event_id`: requests of one "
            "viewer with the same key, method and path are one event.",
            "schema": {"type": "string"},
        },
        _encoding(),
    ]

    def operation(method: str, summary: str, properties: Json, required: list[str]) -> Json:
        schema = {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }
        return {
            "operationId": f"{method}{resource.name.title()}",
            "summary": summary,
            "description": "One event of the reactions family. `occurred_at` is the server's "
            "clock and `session_id` the event's own id where the body has none.",
            "tags": ["reactions"],
            "parameters": parameters,
            "requestBody": {
                "required": bool(required),
                "content": {"application/json": {"schema": schema}},
            },
            "responses": taken
            | {
                "404": {"description": "`film_id` is not a UUID"}
                | {"content": taken["401"]["content"]},
            },
        }

    return {
        "put": operation(
            "put", f"Set the viewer's {resource.name} of a film", envelope | own, list(own)
        ),
        "delete": operation("delete", f"Take the {resource.name} back", envelope, []),
    }


def _probe(name: str, summary: str, problem: Json, failures: Iterable[int]) -> Json:
    found = _page(name, summary, "text/plain")
    for status in failures:
        found["get"]["responses"][str(status)] = _problem(HTTPStatus(status), problem)
    return found


def _page(name: str, summary: str, media_type: str) -> Json:
    schema = {"type": "object"} if media_type == "application/json" else {"type": "string"}
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "tags": ["operation"],
            "security": [],
            "responses": {
                "200": {"description": summary, "content": {media_type: {"schema": schema}}}
            },
        }
    }
