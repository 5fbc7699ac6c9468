"""An event of every type, made from the type's own annotations, so that a new type has one too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect
from ugc_events import FAMILIES, Event

from ugc_local.generator import Film

_SESSION = UUID("0198a000-0000-7000-8000-0000000000aa")
_SERVER_FIELDS = {"event_id", "received_at", "user_id", "schema_version"}
_ANY = UUID("0198a000-0000-7000-8000-0000000000bb")

# What reads better than a value made from the annotation alone.
_TELLING: Mapping[str, Any] = {
    "device": "web",
    "path": "/films",
    "element": "play",
    "filters": {"genre": "drama"},
    "from_quality": "720p",
    "to_quality": "1080p",
    "dwell_ms": 12_000,
    "score": 8,
    "text": "I saw it twice.",
}


def event_types() -> dict[str, type[Event]]:
    """Every registered type by its name on the wire."""
    return {str(t.__struct_config__.tag): t for family in FAMILIES for t in family.types}


def example(event_type: type[Event], film: Film, now: datetime) -> dict[str, Any]:
    """An event as an app would submit it: a minute of `film` or a deed about it, at `now`."""
    own: dict[str, Any] = {
        **_TELLING,
        "session_id": str(_SESSION),
        "content_id": str(film.content_id),
        "position_ms": 30_000,
        "duration_ms": film.duration_ms,
    }
    event: dict[str, Any] = {
        "type": str(event_type.__struct_config__.tag),
        "occurred_at": now.isoformat(timespec="milliseconds"),
    }
    if event_type.VERSION > 1:
        event["schema_version"] = event_type.VERSION
    for field in msgspec.structs.fields(event_type):
        if field.name in _SERVER_FIELDS or field.name in event:
            continue
        kind = inspect.type_info(field.type)
        event[field.name] = own[field.name] if _takes(field, own) else _value(kind)
    return event


def _takes(field: msgspec.structs.FieldInfo, own: Mapping[str, Any]) -> bool:
    """Whether there is a telling value, and a type that reuses the name takes it."""
    if field.name not in own:
        return False
    try:
        msgspec.convert(own[field.name], field.type)
    except msgspec.ValidationError:
        return False
    return True


def _value(kind: inspect.Type) -> Any:
    """A value that the annotation allows, the least remarkable one."""
    if isinstance(kind, inspect.Metadata):
        return _value(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _value(next(t for t in kind.types if not isinstance(t, inspect.NoneType)))
    if isinstance(kind, inspect.LiteralType | inspect.EnumType):
        values = kind.values if isinstance(kind, inspect.LiteralType) else list(kind.cls)
        return msgspec.to_builtins(values[0])
    for known, make in _MAKERS.items():
        if isinstance(kind, known):
            return make(kind)
    raise NotImplementedError(f"no example of {kind}: say how to make one here")


def _number(kind: Any) -> int | float:
    least = kind.ge if kind.ge is not None else kind.gt + 1 if kind.gt is not None else None
    most = kind.le if kind.le is not None else kind.lt - 1 if kind.lt is not None else None
    value: int | float = 1
    value = value if least is None else max(value, least)
    value = value if most is None else min(value, most)
    if kind.multiple_of:
        value = -(-value // kind.multiple_of) * kind.multiple_of
    return value


def _text(kind: inspect.StrType) -> str:
    text = "example"[: kind.max_length]
    return text.ljust(kind.min_length or 0, "e")


def _list(kind: inspect.CollectionType) -> list[Any]:
    return [_value(kind.item_type)] * max(1, kind.min_length or 0)


def _mapping(kind: inspect.DictType) -> dict[Any, Any]:
    return {_value(kind.key_type): _value(kind.value_type)}


_MAKERS: Mapping[type[inspect.Type], Callable[[Any], Any]] = {
    inspect.BoolType: lambda _kind: True,
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.StrType: _text,
    inspect.UUIDType: lambda _kind: str(_ANY),
    inspect.CollectionType: _list,
    inspect.DictType: _mapping,
}
