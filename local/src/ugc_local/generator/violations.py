"""Every way in which the generator breaks the contract, and what must be said of each.

A violation changes one thing of a sound event, so that exactly one rule is broken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ugc_events import MAX_RECORD_BYTES, Reason

from ugc_local.generator.messages import Refusal

Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule.

    Attributes:
        base: the type of the sound event to begin with.
        refusal: what must be said of it.
        change: fields to overwrite or add.
        remove: a field to leave out.
        raw: sent instead of any event, or `NULL` for a record without a value.
        family: of poison: whose topic it is put into.
    """

    base: str
    refusal: Refusal
    change: Mapping[str, object] = field(default_factory=dict)
    remove: str = ""
    raw: bytes = b""
    family: str = "views"

    def apply(self, sound: Fields) -> bytes | None:
        """The bytes to send, from the fields of a sound event of type `base`."""
        if self.raw:
            return None if self.raw is NULL else self.raw
        fields = {**sound, **self.change}
        fields.pop(self.remove, None)
        return json.dumps(fields, separators=(",", ":")).encode()


NULL = b"null value"

_TICK = "view_progress"
_YEAR_2099_MS = 4_070_908_800_000
_TOO_LONG = "Endless. " * (MAX_RECORD_BYTES // 8)


def _refusal(name: str, reason: Reason) -> Refusal:
    return Refusal(name, reason.value)


MALFORMED: tuple[Violation, ...] = (
    Violation(_TICK, _refusal("content_id", Reason.MISSING), remove="content_id"),
    Violation(_TICK, _refusal("session_id", Reason.MISSING), remove="session_id"),
    Violation(_TICK, _refusal("occurred_at", Reason.MISSING), remove="occurred_at"),
    Violation(_TICK, _refusal("type", Reason.MISSING), remove="type"),
    Violation(_TICK, _refusal("position_ms", Reason.WRONG_TYPE), {"position_ms": "90000"}),
    Violation(_TICK, _refusal("duration_ms", Reason.WRONG_TYPE), {"duration_ms": None}),
    Violation(_TICK, _refusal("content_id", Reason.WRONG_FORMAT), {"content_id": "film-17"}),
    Violation(_TICK, _refusal("occurred_at", Reason.WRONG_FORMAT), {"occurred_at": "yesterday"}),
    Violation(_TICK, _refusal("device", Reason.WRONG_FORMAT), {"device": "Smart TV"}),
    Violation(_TICK, _refusal("type", Reason.UNKNOWN_TYPE), {"type": "view_progres"}),
    Violation(_TICK, _refusal("user_id", Reason.UNKNOWN_FIELD), {"user_id": "someone else"}),
    Violation(_TICK, _refusal("position_ms", Reason.OUT_OF_RANGE), {"position_ms": -1}),
    Violation(_TICK, _refusal("occurred_at", Reason.OUT_OF_RANGE), {"occurred_at": 0}),
    Violation(
        _TICK,
        _refusal("position_ms", Reason.BEYOND_DURATION),
        {"position_ms": 5_400_001, "duration_ms": 5_400_000},
    ),
    Violation(_TICK, _refusal("occurred_at", Reason.IN_THE_FUTURE), {"occurred_at": _YEAR_2099_MS}),
    Violation(_TICK, _refusal("schema_version", Reason.FUTURE_VERSION), {"schema_version": 999}),
    Violation("rating", _refusal("score", Reason.OUT_OF_RANGE), {"score": 11}),
    Violation("bookmark", _refusal("bookmarked", Reason.WRONG_TYPE), {"bookmarked": "yes"}),
    Violation("review", _refusal("", Reason.TOO_LARGE), {"text": _TOO_LONG}),
    Violation(_TICK, _refusal("", Reason.WRONG_TYPE), raw=b"42"),
)
"""Events that the API must refuse, each among sound neighbours of its batch."""

POISON: tuple[Violation, ...] = (
    Violation(_TICK, _refusal("", Reason.NOT_JSON), raw=b'{"type":"view_progress","event_'),
    Violation(_TICK, _refusal("", Reason.NOT_JSON), raw=b"\x00\x01\xfe\xffavro?"),
    Violation(_TICK, _refusal("", Reason.NOT_JSON), raw=NULL),
    Violation("rating", _refusal("type", Reason.UNKNOWN_TYPE)),
    Violation(_TICK, _refusal("type", Reason.UNKNOWN_TYPE), family="interactions"),
    Violation(_TICK, _refusal("content_id", Reason.MISSING), remove="content_id"),
    Violation(_TICK, _refusal("received_at", Reason.MISSING), remove="received_at"),
    Violation(
        _TICK,
        _refusal("position_ms", Reason.BEYOND_DURATION),
        {"position_ms": 5_400_001, "duration_ms": 5_400_000},
    ),
    Violation(_TICK, _refusal("schema_version", Reason.FUTURE_VERSION), {"schema_version": 999}),
    Violation(_TICK, _refusal("", Reason.TOO_LARGE), {"device": _TOO_LONG}),
    Violation("rating", _refusal("score", Reason.OUT_OF_RANGE), {"score": 11}, family="reactions"),
    Violation(
        "review", _refusal("text", Reason.WRONG_TYPE), {"text": ["good"]}, family="reactions"
    ),
    Violation(
        "bookmark",
        _refusal("colour", Reason.UNKNOWN_FIELD),
        {"colour": "red"},
        family="reactions",
    ),
)
"""Records that the ETL must put among the dead letters, one by one, and never their neighbours."""
