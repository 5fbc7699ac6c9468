"""Every type that is registered has an example that the API takes, and so has the next one."""

import enum
import json
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID, uuid4

import msgspec
import pytest
from ugc_events import FAMILIES, Event, decode_submission
from ugc_local.guide import VIEWER, films
from ugc_local.tools.examples import event_types, example

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
(FILM, *_) = films()


def test_every_type_is_there():
    assert list(event_types().values()) == [t for family in FAMILIES for t in family.types]


@pytest.mark.parametrize("name", event_types())
def test_an_example_is_accepted(name):
    event_type = event_types()[name]
    data = json.dumps(example(event_type, FILM, NOW)).encode()
    event = decode_submission(data, user_id=VIEWER, received_at=NOW_MS, new_event_id=uuid4)
    assert isinstance(event, event_type)
    assert event.occurred_at == NOW_MS
    if "content_id" in event.__struct_fields__:
        assert event.content_id == FILM.content_id  # type: ignore[attr-defined]


class Mood(enum.Enum):
    GLAD = "glad"


class Subscribed(Event, frozen=True, kw_only=True, tag="subscribed"):
    """A type with a field of every kind."""

    VERSION = 3

    plan: Literal["family", "single"]
    mood: Mood
    price: Annotated[float, msgspec.Meta(gt=4, lt=6)]
    months: Annotated[int, msgspec.Meta(ge=3, multiple_of=12)]
    seats: Annotated[int, msgspec.Meta(le=-2)]
    gift: bool
    voucher: Annotated[str, msgspec.Meta(min_length=9, max_length=12)] | None = None
    invited_by: UUID | None
    tags: Annotated[list[str], msgspec.Meta(min_length=2)]
    prices: dict[str, int]
    device: Annotated[str, msgspec.Meta(max_length=2)]


def test_a_new_type_has_an_example_by_its_annotations_alone():
    event = example(Subscribed, FILM, NOW)
    assert event["schema_version"] == 3
    whole = {**event, "event_id": str(uuid4()), "user_id": str(VIEWER), "received_at": NOW_MS}
    made = msgspec.convert({**whole, "occurred_at": NOW_MS}, Subscribed, strict=True)
    assert made.plan == "family"
    assert made.voucher == "exampleee"
    assert made.device == "ex"  # the telling value is too long for this one


class Odd(Event, frozen=True, kw_only=True, tag="odd"):
    when: msgspec.Raw


def test_a_kind_without_an_example_says_where_to_add_one():
    with pytest.raises(NotImplementedError, match="say how to make one here"):
        example(Odd, FILM, NOW)
