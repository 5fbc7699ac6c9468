"""Events as clients submit them over HTTP: the envelope less what the server knows better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any, Union
from uuid import UUID

import msgspec

from ugc_events.codec import MAX_RECORD_BYTES, check, decode
from ugc_events.events import EARLIEST_MS, LATEST_MS, EpochMs, Event
from ugc_events.registry import FAMILIES
from ugc_events.verdicts import Invalid, Reason

SERVER_FIELDS = frozenset({"received_at", "user_id"})
"""What no client tells: from the server's clock and the token."""
SubmittedTime = EpochMs | Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def epoch_ms(moment: datetime) -> int:
    """Ms since the epoch, what is below a millisecond cut off.

    In whole numbers: a time in seconds as a float falls a millisecond short now and then.
    """
    return (moment - _EPOCH) // _MILLISECOND


class _Form:
    """How one type is submitted: the struct to decode, and the way from it to the event."""

    def __init__(self, event_type: type[Event]) -> None:
        config = event_type.__struct_config__
        fields: list[Any] = []
        for field in msgspec.structs.fields(event_type):
            if field.name in SERVER_FIELDS:
                continue
            if field.name == "event_id":
                fields.append(("event_id", UUID | None, None))
            elif field.name == "occurred_at":
                fields.append(("occurred_at", SubmittedTime))
            elif field.required:
                fields.append((field.name, field.type))
            else:
                fields.append((field.name, field.type, field.default))
        self.event_type = event_type
        self.struct = msgspec.defstruct(
            f"{event_type.__name__}Submission",
            fields,
            kw_only=True,
            tag_field=config.tag_field,
            tag=config.tag,
            forbid_unknown_fields=True,
            namespace={"__doc__": event_type.__doc__},
        )
        self._own = [
            f.name
            for f in msgspec.structs.fields(event_type)
            if f.name not in SERVER_FIELDS | {"event_id", "occurred_at"}
        ]
        self._values = attrgetter(*self._own)

    def event(
        self, form: Any, event_id: UUID, occurred_at: int, received_at: int, user_id: UUID
    ) -> Event:
        own = dict(zip(self._own, self._values(form), strict=True))
        # The record is written by the API, with every field that it knows: a consumer that knows
        # fewer must see a version from its future, however old the app is.
        own["schema_version"] = self.event_type.VERSION
        return self.event_type(
            event_id=event_id,
            occurred_at=occurred_at,
            received_at=received_at,
            user_id=user_id,
            **own,
        )


_forms = {form.struct: form for form in (_Form(t) for family in FAMILIES for t in family.types)}
SUBMISSIONS: Mapping[type[msgspec.Struct], type[Event]] = {
    struct: form.event_type for struct, form in _forms.items()
}
"""What a client may submit, one struct for each type of event; for descriptions of the API."""
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[tuple(_forms)])  # noqa: UP007


def decode_submission(
    data: bytes, *, user_id: UUID, received_at: int, new_event_id: Callable[[], UUID]
) -> Event | Invalid:
    """Decode one submitted event.

    Args:
        data: one JSON object; times are ms since the epoch or RFC 3339 with an offset.
        user_id: whose it is, from the token.
        received_at: the server's clock, ms since the epoch.
        new_event_id: called when the client gave none.

    Returns:
        The event as it goes to Kafka, or what is wrong with it. Never raises for the input's sake.
    """
    if len(data) > MAX_RECORD_BYTES:
        return Invalid("", Reason.TOO_LARGE, f"larger than {MAX_RECORD_BYTES} bytes")
    form = decode(_decoder, data)
    if isinstance(form, Invalid):
        return form
    occurred_at = form.occurred_at
    if isinstance(occurred_at, datetime):
        occurred_at = epoch_ms(occurred_at)
        if not EARLIEST_MS <= occurred_at <= LATEST_MS:
            return Invalid("occurred_at", Reason.OUT_OF_RANGE, "expected a time from 2020 to 2099")
    kind = _forms[type(form)]
    if form.schema_version > kind.event_type.VERSION:
        return Invalid(
            "schema_version",
            Reason.FUTURE_VERSION,
            f"the latest version known here is {kind.event_type.VERSION}",
        )
    event = kind.event(form, form.event_id or new_event_id(), occurred_at, received_at, user_id)
    return check(event) or event
