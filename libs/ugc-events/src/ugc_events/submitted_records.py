"""Submitted events straight to the bytes of their records, without an `Event` in between.

`decode_submission` says what is valid. Most events come in the usual spelling: lower-case UUIDs,
nothing wrong. For these the record's bytes follow from the JSON at a third of the cost, since an
id stays the text that it is and only its shape is looked at. It is sound and not complete: what is
taken here `decode_submission` takes too, with the same bytes; everything else is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from types import NoneType
from typing import Any, Union, get_args
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, UnsetType, inspect

from ugc_events.codec import MAX_RECORD_BYTES, bounds_of, encode_record, record_key
from ugc_events.events import EARLIEST_MS, LATEST_MS, Event
from ugc_events.registry import FAMILIES
from ugc_events.submission import SERVER_FIELDS, SubmittedTime, decode_submission, epoch_ms
from ugc_events.verdicts import Invalid, Reason

_MAX_KNOWN_TEXTS = 4096
_ONE_SHAPE = b"00000000-0000-0000-0000-000000000000"
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789abcdef", b"0" * 15)
_ANONYMOUS_SESSIONS = UUID("5b1f4b0a-6f0e-4c57-9a53-0d6f5c3c8a11")
_encode = msgspec.json.Encoder().encode


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """A valid event on its way to Kafka.

    Attributes:
        event_type: its class.
        event_id: the client's, else the server's; the usual text of a UUID.
        key, value: of its record, as `record_key` and `encode_record` make them.
    """

    event_type: type[Event]
    event_id: str
    key: bytes
    value: bytes


class _KnownTexts:
    """Texts that a field's type takes: few and frequent, so that its pattern is matched once."""

    def __init__(self, field_type: Any) -> None:
        self._type = field_type
        self._taken: set[str] = set()

    def takes(self, text: str) -> bool:
        if text in self._taken:
            return True
        try:
            msgspec.convert(text, self._type)
        except msgspec.ValidationError:
            return False
        if len(self._taken) >= _MAX_KNOWN_TEXTS:
            self._taken.clear()
        self._taken.add(text)
        return True


class _Form:
    """One type as it is submitted and as its record is written, in one struct.

    The fields are those of the class, in its order. What only the server knows takes no JSON at
    all, and is set before the struct is encoded.
    """

    def __init__(self, event_type: type[Event]) -> None:
        config = event_type.__struct_config__
        self.event_type = event_type
        self.version = event_type.VERSION
        self.bounds = [
            (attrgetter(bound.field, bound.limit), bound.slack) for bound in bounds_of(event_type)
        ]
        self.texts: list[tuple[str, _KnownTexts]] = []
        self.optional_ids: list[str] = []
        ids: list[str] = []
        fields: list[Any] = []
        for field in msgspec.structs.fields(event_type):
            kind: Any = field.type
            if field.name in SERVER_FIELDS:
                fields.append((field.name, UnsetType, UNSET))
                continue
            if field.name == "occurred_at":
                kind = SubmittedTime
            elif kind is UUID:
                ids.append(field.name)
                kind = str
            elif set(get_args(kind)) == {UUID, NoneType}:
                self.optional_ids.append(field.name)
                kind = str | None
            elif isinstance(shape := inspect.type_info(kind), inspect.StrType) and shape.pattern:
                self.texts.append((field.name, _KnownTexts(kind)))
                kind = str
            if field.name == "event_id":
                fields.append((field.name, str | None, None))
            elif field.required:
                fields.append((field.name, kind))
            else:
                fields.append((field.name, kind, field.default))
        self.struct = msgspec.defstruct(
            f"{event_type.__name__}Record",
            fields,
            kw_only=True,
            tag_field=config.tag_field,
            tag=config.tag,
            forbid_unknown_fields=True,
            gc=False,
        )
        self.ids = attrgetter(*ids)
        self.shapes = b"\n".join([_ONE_SHAPE] * len(ids))
        self.has_film = "content_id" in event_type.__struct_fields__


_forms: dict[type, _Form] = {
    form.struct: form
    for form in (_Form(event_type) for family in FAMILIES for event_type in family.types)
}
_decode = msgspec.json.Decoder(Union[tuple(_forms)]).decode  # noqa: UP007


def session_pseudonym(session_id: str) -> UUID:
    """Whose events an anonymous session's are: always the same for it, and no real viewer's.

    A UUID of version 5 in a namespace that nothing else uses; nobody can choose a session that
    leads to a given viewer.
    """
    return uuid5(_ANONYMOUS_SESSIONS, session_id)


def submit(
    items: Sequence[bytes],
    *,
    user_id: UUID | None,
    received_at: int,
    new_event_id: Callable[[], UUID],
    oldest: int = EARLIEST_MS,
) -> list[Submitted | Invalid]:
    """Decode submitted events, each by itself.

    Args:
        items: one JSON object each, as `decode_submission` takes it.
        user_id: whose they are, from the token; None for an anonymous viewer, whose events are
            kept under `session_pseudonym`.
        received_at: the server's clock, ms since the epoch.
        new_event_id: called for each that came without an id.
        oldest: the earliest `occurred_at` that is taken, ms since the epoch.

    Returns:
        For each the same verdict as `decode_submission`'s, or the event's record.
    """
    user = None if user_id is None else str(user_id)
    results: list[Submitted | Invalid] = []
    for item in items:
        taken: Submitted | Invalid | None = _usual(item, user, received_at, new_event_id, oldest)
        if taken is None:
            taken = _unusual(item, user_id, received_at, new_event_id, oldest)
        results.append(taken)
    return results


def _unusual(
    item: bytes,
    user_id: UUID | None,
    received_at: int,
    new_event_id: Callable[[], UUID],
    oldest: int,
) -> Submitted | Invalid:
    event = decode_submission(
        item,
        user_id=user_id or _ANONYMOUS_SESSIONS,
        received_at=received_at,
        new_event_id=new_event_id,
    )
    if isinstance(event, Invalid):
        return event
    if event.occurred_at < oldest:
        return Invalid("occurred_at", Reason.OUT_OF_RANGE, "longer ago than is taken here")
    if user_id is None:
        user_id = session_pseudonym(str(event.session_id))
        event = msgspec.structs.replace(event, user_id=user_id)
    return Submitted(type(event), str(event.event_id), record_key(event), encode_record(event))


def _usual(
    item: bytes,
    user: str | None,
    received_at: int,
    new_event_id: Callable[[], UUID],
    oldest: int,
) -> Submitted | None:
    if len(item) > MAX_RECORD_BYTES:
        return None
    try:
        record = _decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    form = _forms[type(record)]
    if isinstance(record.occurred_at, datetime):
        record.occurred_at = epoch_ms(record.occurred_at)
        if not EARLIEST_MS <= record.occurred_at <= LATEST_MS:
            return None
    if record.occurred_at < oldest:
        return None
    if record.schema_version > form.version:
        return None
    record.schema_version = form.version
    record.received_at = received_at
    for values_of, slack in form.bounds:
        value, limit = values_of(record)
        if value > limit + slack:
            return None
    for name, known in form.texts:
        if not known.takes(getattr(record, name)):
            return None
    event_id = record.event_id
    if event_id is None:
        record.event_id = event_id = str(new_event_id())
    # An id with a line break in it makes one line too many.
    if "\n".join(form.ids(record)).encode().translate(_DIGITS_TO_ZERO) != form.shapes:
        return None
    for name in form.optional_ids:
        text = getattr(record, name)
        if text is not None and text.encode().translate(_DIGITS_TO_ZERO) != _ONE_SHAPE:
            return None
    if user is None:
        user = str(session_pseudonym(record.session_id))
    record.user_id = user
    film = record.content_id if form.has_film else None
    key = user if film is None else f"{user}:{film}"
    return Submitted(form.event_type, event_id, key.encode(), _encode(record))
