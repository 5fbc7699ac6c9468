from datetime import UTC, datetime
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
    ViewProgress,
    decode_record,
    encode_record,
    family_of,
    record_key,
)
from ugc_events.registry import INTERACTIONS, REACTIONS, VIEWS

USER = UUID("0192f0c1-2345-7000-8000-000000000001")
FILM = UUID("0192f0c1-2345-7000-8000-00000000000f")
FUTURE = ViewProgress.VERSION + 1
NOW_MS = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)

TICK = {
    "type": "view_progress",
    "event_id": str(USER),
    "occurred_at": NOW_MS,
    "received_at": NOW_MS,
    "user_id": str(USER),
    "session_id": str(USER),
    "schema_version": 1,
    "content_id": str(FILM),
    "position_ms": 30_000,
    "duration_ms": 5_400_000,
    "device": "tv",
}


def encoded(**changes: object) -> bytes:
    return msgspec.json.encode({**TICK, **changes})


@given(events())
def test_what_is_encoded_decodes_to_the_same_event(event: Event) -> None:
    assert decode_record(family_of(type(event)), encode_record(event)) == event


@given(events())
def test_another_familys_topic_refuses_the_type(event: Event) -> None:
    for family in FAMILIES:
        if type(event) not in family.types:
            verdict = decode_record(family, encode_record(event))
            assert isinstance(verdict, Invalid)
            assert (verdict.field, verdict.reason) == ("type", Reason.UNKNOWN_TYPE)


@given(st.sampled_from(FAMILIES), st.binary(max_size=300))
def test_noise_gets_a_verdict_and_no_exception(family: object, noise: bytes) -> None:
    assert isinstance(decode_record(family, noise), Invalid)  # type: ignore[arg-type]


@given(events(), st.data())
def test_one_broken_byte_never_raises(event: Event, data: st.DataObject) -> None:
    value = bytearray(encode_record(event))
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] = data.draw(st.integers(0, 255))
    decoded = decode_record(family_of(type(event)), bytes(value))
    assert isinstance(decoded, Event | Invalid)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(events(), st.data())
def test_any_json_in_any_field_names_that_field_or_is_valid(
    event: Event, data: st.DataObject
) -> None:
    fields = msgspec.json.decode(encode_record(event))
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(json_values)
    decoded = decode_record(family_of(type(event)), msgspec.json.encode(fields))
    if isinstance(decoded, Invalid):
        related = {name, "position_ms"} if name == "duration_ms" else {name}
        related |= {"occurred_at"} if name == "received_at" else set()
        # A value that is another type's tag makes the fields of this type the unknown ones.
        assert decoded.field in related or name == "type"


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        (b"not json", "", Reason.NOT_JSON),
        (b"", "", Reason.NOT_JSON),
        (None, "", Reason.NOT_JSON),
        (b"[]", "", Reason.WRONG_TYPE),
        (b'{"type": "\xff"}', "", Reason.NOT_JSON),
        (b'{"a":' * 9_000, "", Reason.NOT_JSON),
        (encoded(position_ms="5"), "position_ms", Reason.WRONG_TYPE),
        (encoded(position_ms=1.5), "position_ms", Reason.WRONG_TYPE),
        (encoded(position_ms=True), "position_ms", Reason.WRONG_TYPE),
        (encoded(position_ms=None), "position_ms", Reason.WRONG_TYPE),
        (encoded(position_ms=-1), "position_ms", Reason.OUT_OF_RANGE),
        (encoded(position_ms=5_400_001), "position_ms", Reason.BEYOND_DURATION),
        (encoded(duration_ms=0), "duration_ms", Reason.OUT_OF_RANGE),
        (encoded(duration_ms=86_400_001), "duration_ms", Reason.OUT_OF_RANGE),
        (encoded(content_id="film"), "content_id", Reason.WRONG_FORMAT),
        (encoded(device="Living Room"), "device", Reason.WRONG_FORMAT),
        (encoded(device="x" * 33), "device", Reason.OUT_OF_RANGE),
        (encoded(device=""), "device", Reason.OUT_OF_RANGE),
        (encoded(occurred_at=NOW_MS + 300_001), "occurred_at", Reason.IN_THE_FUTURE),
        (encoded(occurred_at=0), "occurred_at", Reason.OUT_OF_RANGE),
        (encoded(occurred_at=10**30), "occurred_at", Reason.OUT_OF_RANGE),
        (encoded(occurred_at="2026-11-01T00:00:00Z"), "occurred_at", Reason.WRONG_TYPE),
        (encoded(colour="red"), "colour", Reason.UNKNOWN_FIELD),
        (encoded(type="rating"), "type", Reason.UNKNOWN_TYPE),
        (encoded(type=7), "type", Reason.WRONG_TYPE),
        (encoded(type=""), "type", Reason.UNKNOWN_TYPE),
        (encoded(schema_version=0), "schema_version", Reason.OUT_OF_RANGE),
        (encoded(schema_version=FUTURE), "schema_version", Reason.FUTURE_VERSION),
        (encoded(schema_version=FUTURE, colour="red"), "schema_version", Reason.FUTURE_VERSION),
        (encoded(device="x" * MAX_RECORD_BYTES), "", Reason.TOO_LARGE),
    ],
)
def test_the_verdict_names_field_and_reason(
    value: bytes | None, field: str, reason: Reason
) -> None:
    verdict = decode_record(VIEWS, value)
    assert isinstance(verdict, Invalid)
    assert (verdict.field, verdict.reason) == (field, reason)
    assert verdict.detail


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda t: t.__name__)
@given(data=st.data())
def test_a_missing_field_is_named(event_type: type[Event], data: st.DataObject) -> None:
    fields = msgspec.json.decode(encode_record(data.draw(events(event_type))))
    required = [f.name for f in msgspec.structs.fields(event_type) if f.required]
    name = data.draw(st.sampled_from([*required, "type"]))
    del fields[name]
    verdict = decode_record(family_of(event_type), msgspec.json.encode(fields))
    assert isinstance(verdict, Invalid)
    assert (verdict.field, verdict.reason) == (name, Reason.MISSING)


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ({"genre": 1}, Reason.WRONG_TYPE),
        ({"Genre!": "drama"}, Reason.WRONG_FORMAT),
        ({"genre": "x" * 257}, Reason.OUT_OF_RANGE),
        ({f"f{n}": "x" for n in range(33)}, Reason.OUT_OF_RANGE),
    ],
)
def test_a_violation_inside_a_map_names_the_map(filters: dict[str, object], reason: Reason) -> None:
    search = {key: TICK[key] for key in TICK if key not in VIEWS_ONLY}
    value = msgspec.json.encode({**search, "type": "search", "filters": filters})
    verdict = decode_record(INTERACTIONS, value)
    assert isinstance(verdict, Invalid)
    assert (verdict.field, verdict.reason) == ("filters", reason)


VIEWS_ONLY = {"content_id", "position_ms", "duration_ms", "device"}


def test_the_verdict_does_not_repeat_what_the_client_sent() -> None:
    verdict = decode_record(VIEWS, encoded(device="My Secret Device"))
    assert isinstance(verdict, Invalid)
    assert "Secret" not in verdict.detail


def test_the_key_keeps_a_viewers_film_together() -> None:
    tick = decode_record(VIEWS, encoded())
    assert isinstance(tick, Event)
    assert record_key(tick) == f"{USER}:{FILM}".encode()


def test_the_key_of_an_event_without_a_film_is_the_viewer() -> None:
    fields = {key: TICK[key] for key in TICK if key not in VIEWS_ONLY}
    page = msgspec.json.encode({**fields, "type": "page_view", "path": "/", "dwell_ms": 1})
    event = decode_record(INTERACTIONS, page)
    assert isinstance(event, Event)
    assert record_key(event) == str(USER).encode()


def test_a_null_score_is_a_removal_and_an_absent_one_an_error() -> None:
    fields = {key: TICK[key] for key in TICK if key not in VIEWS_ONLY - {"content_id"}}
    removed = decode_record(
        REACTIONS, msgspec.json.encode({**fields, "type": "rating", "score": None})
    )
    absent = decode_record(REACTIONS, msgspec.json.encode({**fields, "type": "rating"}))
    assert isinstance(removed, Event)
    assert isinstance(absent, Invalid)
    assert (absent.field, absent.reason) == ("score", Reason.MISSING)
