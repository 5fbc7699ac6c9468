"""What `submit` takes is what `decode_submission` takes, to the byte."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from event_strategies import EVENT_TYPES, events
from hypothesis import given
from hypothesis import strategies as st
from ugc_events import (
    FAMILIES,
    MAX_RECORD_BYTES,
    Event,
    Invalid,
    Reason,
    Submitted,
    decode_record,
    decode_submission,
    encode_record,
    family_of,
    record_key,
    session_pseudonym,
    split_lines,
    submit,
)
from ugc_events import submitted_records as module
from ugc_events.events import Slug
from ugc_events.submission import SERVER_FIELDS

USER = UUID("0192f0c1-2345-7000-8000-000000000001")
OURS = UUID("0192f0c1-2345-7000-8000-0000000000aa")


def new(items: list[bytes], received_at: int) -> list[Submitted | Invalid]:
    return submit(items, user_id=USER, received_at=received_at, new_event_id=lambda: OURS)


def reference(item: bytes, received_at: int) -> Submitted | Invalid:
    event = decode_submission(
        item, user_id=USER, received_at=received_at, new_event_id=lambda: OURS
    )
    if isinstance(event, Invalid):
        return event
    return Submitted(type(event), str(event.event_id), record_key(event), encode_record(event))


def form_of(event: Event) -> dict[str, Any]:
    fields = msgspec.json.decode(encode_record(event))
    return {name: value for name, value in fields.items() if name not in SERVER_FIELDS}


NAMES = sorted(
    {field for event_type in EVENT_TYPES for field in event_type.__struct_fields__} | {"type", "x"}
)
ID = "018f2b7a-0000-7000-8000-00000000000b"
ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(1_577_836_800_000 - 2, 1_577_836_800_000 + 2),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.sampled_from(
        [
            ID.upper(),
            ID.replace("-", ""),
            "{" + ID + "}",
            "urn:uuid:" + ID,
            ID + "\n",
            ID[:-1],
            ID + "0",
            ID[:-1] + "g",
            ID[:-1] + "٣",
            "\n".join([ID, ID]),
            "tv",
            "TV",
            "tv\n",
            "2026-11-22T10:00:00.123Z",
            "2026-11-22T10:00:00.1239+03:00",
            "2026-11-22T10:00:00",
            "1969-12-31T23:59:59Z",
            1e12,
            2**63,
            2**64,
        ]
    ),
)


@given(events(), st.dictionaries(st.sampled_from(NAMES), ODD_VALUES, max_size=3), st.data())
def test_the_verdict_and_the_bytes_are_the_references(
    event: Event, odd: dict[str, Any], data: st.DataObject
) -> None:
    form = form_of(event) | odd
    for name in data.draw(st.sets(st.sampled_from(sorted(form)), max_size=1)):
        del form[name]
    item = msgspec.json.encode(form)
    received_at = data.draw(st.sampled_from([event.received_at, event.occurred_at - 300_001]))
    assert new([item], received_at) == [reference(item, received_at)]


@given(st.lists(events(), max_size=4), st.binary(max_size=60))
def test_each_item_is_judged_by_itself(batch: list[Event], noise: bytes) -> None:
    items = [msgspec.json.encode(form_of(event)) for event in batch]
    items.insert(len(items) // 2, noise)
    received_at = 1_900_000_000_000
    assert new(items, received_at) == [reference(item, received_at) for item in items]


@given(events(), st.data())
def test_a_broken_text_is_judged_as_before(event: Event, data: st.DataObject) -> None:
    item = bytearray(msgspec.json.encode(form_of(event)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(item) - 1))
        item[place : place + 1] = data.draw(st.binary(max_size=2))
    assert new([bytes(item)], event.received_at) == [reference(bytes(item), event.received_at)]


@given(events())
def test_the_usual_spelling_goes_the_short_way(event: Event) -> None:
    item = msgspec.json.encode(form_of(event))
    taken = module._usual(item, str(USER), event.received_at, lambda: OURS, 0)
    assert taken == reference(item, event.received_at)
    family = family_of(type(event))
    assert family in FAMILIES
    record = msgspec.structs.replace(event, user_id=USER, schema_version=event.VERSION)
    assert taken is not None
    assert decode_record(family, taken.value) == record


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@given(data=st.data())
def test_an_event_without_id_gets_the_servers(event_type: type[Event], data: st.DataObject) -> None:
    event = data.draw(events(event_type))
    form = form_of(event)
    del form["event_id"]
    (taken,) = new([msgspec.json.encode(form)], event.received_at)
    assert isinstance(taken, Submitted)
    assert taken.event_id == str(OURS)


def test_an_event_padded_beyond_the_limit_is_too_large() -> None:
    item = b'{"a": 1' + b" " * MAX_RECORD_BYTES + b"}"
    assert new([item], 1_900_000_000_000) == [reference(item, 1_900_000_000_000)]


def test_texts_are_remembered_in_bounds() -> None:
    known = module._KnownTexts(Slug)
    for number in range(3 * module._MAX_KNOWN_TEXTS):
        assert known.takes(f"device-{number}")
    assert not known.takes("TV!")
    assert len(known._taken) <= module._MAX_KNOWN_TEXTS


def test_lines_are_split_without_the_blank_ones() -> None:
    assert split_lines(b'{"a":1}\r\n\n \n{"b":2}') == [b'{"a":1}\r', b'{"b":2}']
    assert split_lines(b" \n\t\r\n") == []


@given(events(), st.booleans())
def test_an_anonymous_event_is_its_sessions(event: Event, usual: bool) -> None:
    form = form_of(event)
    if not usual:
        form["session_id"] = form["session_id"].upper()
    (taken,) = submit(
        [msgspec.json.encode(form)],
        user_id=None,
        received_at=event.received_at,
        new_event_id=lambda: OURS,
    )
    assert isinstance(taken, Submitted)
    pseudonym = session_pseudonym(str(event.session_id))
    assert pseudonym.version == 5
    assert pseudonym != event.session_id
    own = msgspec.structs.replace(event, user_id=pseudonym, schema_version=event.VERSION)
    assert (taken.key, taken.value) == (record_key(own), encode_record(own))


@pytest.mark.parametrize("as_text", [False, True])
@given(event=events())
def test_what_is_older_than_is_taken_is_out_of_range(as_text: bool, event: Event) -> None:
    form = form_of(event)
    if as_text:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=event.occurred_at)
        form["occurred_at"] = moment.isoformat()

    def verdict(oldest: int) -> Submitted | Invalid:
        (found,) = submit(
            [msgspec.json.encode(form)],
            user_id=USER,
            received_at=event.received_at,
            new_event_id=lambda: OURS,
            oldest=oldest,
        )
        return found

    assert isinstance(verdict(event.occurred_at), Submitted)
    refused = verdict(event.occurred_at + 1)
    assert isinstance(refused, Invalid)
    assert (refused.field, refused.reason) == ("occurred_at", Reason.OUT_OF_RANGE)
