"""docs/events.md tells every type and field: its tables are written from the types themselves."""

import re
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from msgspec import inspect
from ugc_events import FAMILIES, MAX_RECORD_BYTES, Event, Family, Reason, decode_submission
from ugc_events.codec import FUTURE_TOLERANCE_MS

PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text("utf-8")
ENVELOPE = {field.name for field in msgspec.structs.fields(Event)}


def told(kind: inspect.Type) -> str:
    """What a client may send, in words."""
    match kind:
        case inspect.UUIDType():
            return "UUID"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=least, le=most):
            return f"integer, {least:,} to {most:,}"
        case inspect.StrType(min_length=1, max_length=32, pattern=str()):
            return "slug"
        case inspect.StrType(pattern=None, min_length=least, max_length=most):
            return f"text, {least or 0} to {most:,} characters"
        case inspect.DictType(key_type=keys, value_type=values, max_length=most):
            return f"object of at most {most}: {told(keys)} to {told(values)}"
        case inspect.UnionType(types=types):
            return " or ".join(told(one) for one in types)
        case inspect.NoneType():
            return "null"
        case _:
            raise NotImplementedError(f"no words for {kind}: say them here")


def section(event_type: type[Event]) -> str:
    (sentence, *_) = (event_type.__doc__ or "").splitlines()
    lines = [
        f"### {event_type.__struct_config__.tag}",
        "",
        sentence,
        "",
        "| field | |",
        "|---|---|",
    ]
    for field in msgspec.structs.fields(event_type):
        if field.name not in ENVELOPE:
            words = told(inspect.type_info(field.type)) + ("" if field.required else "; optional")
            lines.append(f"| `{field.name}` | {words} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_type_is_told_field_by_field(family: Family) -> None:
    expected = "\n".join(
        [
            f"## Family {family.name}\n\nTopic `{family.topic}`, raw table `{family.table}`.\n",
            *map(section, family.types),
        ]
    )
    assert expected in PAGE, f"docs/events.md should say:\n\n{expected}"


def test_every_reason_and_limit_is_told() -> None:
    for reason in Reason:
        assert f"\n| `{reason.value}` | " in PAGE
    assert f"{MAX_RECORD_BYTES // 1024} KiB" in PAGE
    assert f"{FUTURE_TOLERANCE_MS // 60_000} minutes" in PAGE


def test_the_example_is_taken() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    taken = decode_submission(
        example.encode(),
        user_id=UUID(int=1),
        received_at=1_800_000_000_000,
        new_event_id=lambda: UUID(int=2),
    )
    assert isinstance(taken, Event)
    assert taken.event_id != UUID(int=2)
