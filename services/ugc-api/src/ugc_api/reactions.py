"""Reactions as resources: what a viewer's rating, bookmark or review of a film is set to, or that
it is gone, as the event that says so. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import msgspec
from ugc_events import MAX_RECORD_BYTES

from ugc_api.ingest import BodyError, BodyFault


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of reaction.

    Attributes:
        name: of the resource and of the event's type.
        field: the event's own field.
        given: whether the field comes in the body; else it follows from the method.
        unset: the field's value when the reaction is taken back.
    """

    name: str
    field: str
    given: bool
    unset: Any


RESOURCES = (
    Resource("rating", "score", given=True, unset=None),
    Resource("bookmark", "bookmarked", given=False, unset=False),
    Resource("review", "text", given=True, unset=None),
)


def reaction(
    resource: Resource,
    body: bytes,
    *,
    film_id: UUID,
    removed: bool,
    idempotency_key: str | None,
    user_id: UUID | None,
    now_ms: int,
    new_id: UUID,
) -> bytes:
    """The event, as it is submitted to `POST /v1/events`.

    Args:
        resource: what is set or removed.
        body: a JSON object or nothing. It may carry the envelope's fields and, where something
            is set, the reaction's own.
        film_id: from the path.
        removed: whether the reaction is taken back.
        idempotency_key: names the event where the body has no `event_id`; any text.
        user_id: whose key it is; None for an anonymous viewer.
        now_ms: `occurred_at` where the body has none, ms since the epoch.
        new_id: the `event_id` where nothing names one.

    Raises BodyError.
    """
    if len(body) > MAX_RECORD_BYTES:  # before it is taken apart: a name and a value take 150 bytes
        raise BodyError(
            BodyFault.EVENT_TOO_LARGE, f"a reaction has at most {MAX_RECORD_BYTES} bytes"
        )
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw]) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(BodyFault.NOT_JSON, "the body is not a JSON object") from error
    fixed: dict[str, Any] = {"type": resource.name, "content_id": film_id}
    if removed:
        fixed[resource.field] = resource.unset
    elif not resource.given:
        fixed[resource.field] = True
    for name in fixed:
        if name in fields:
            raise BodyError(
                BodyFault.FIXED_FIELD, f"method and path say what {name} is: leave it out"
            )
    if idempotency_key is not None:
        verb = "DELETE" if removed else "PUT"
        whose = user_id
        if whose is None:  # a session's, so that other sessions' same keys are other events
            session = bytes(fields.get("session_id", msgspec.Raw(b"")))
            whose = uuid5(film_id, session.decode(errors="replace"))
        new_id = uuid5(whose, f"{verb} {resource.name} {film_id} {idempotency_key}")
    event_id = fields.pop("event_id", None)
    if event_id is None or bytes(event_id) == b"null":
        event_id = msgspec.Raw(msgspec.json.encode(new_id))
    # Who names no session reacts outside of one: a sitting with nothing else in it.
    envelope = {"event_id": event_id, "session_id": event_id, "occurred_at": now_ms}
    return msgspec.json.encode(envelope | fields | fixed)
