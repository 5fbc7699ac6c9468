from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest
from event_strategies import events
from hypothesis import given
from hypothesis import strategies as st
from ugc_events import Event, Invalid, Reason, decode_submission, encode_record, split_batch

USER = UUID("0192f0c1-2345-7000-8000-000000000001")
OURS = UUID("0192f0c1-2345-7000-8000-0000000000aa")
SERVER_FIELDS = ("received_at", "user_id")


def submit(body: bytes, received_at: int, user_id: UUID = USER) -> Event | Invalid:
    return decode_submission(
        body, user_id=user_id, received_at=received_at, new_event_id=lambda: OURS
    )


def submitted_form(event: Event) -> dict[str, object]:
    fields = msgspec.json.decode(encode_record(event))
    return {name: value for name, value in fields.items() if name not in SERVER_FIELDS}


@given(events())
def test_a_submitted_event_becomes_the_record(event: Event) -> None:
    body = msgspec.json.encode(submitted_form(event))
    # The record is the API's, and so is its version.
    record = msgspec.structs.replace(event, schema_version=event.VERSION)
    assert submit(body, event.received_at, event.user_id) == record


@given(events())
def test_a_version_that_is_not_known_here_is_refused(event: Event) -> None:
    form = submitted_form(event) | {"schema_version": event.VERSION + 1}
    verdict = submit(msgspec.json.encode(form), event.received_at)
    assert isinstance(verdict, Invalid)
    assert (verdict.field, verdict.reason) == ("schema_version", Reason.FUTURE_VERSION)


@given(events())
def test_the_server_names_an_event_that_the_client_did_not(event: Event) -> None:
    form = submitted_form(event)
    del form["event_id"]
    taken = submit(msgspec.json.encode(form), event.received_at)
    assert isinstance(taken, Event)
    assert taken.event_id == OURS


@given(events(), st.integers(-14, 14))
def test_a_time_in_rfc_3339_means_the_same_moment(event: Event, offset_hours: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=event.occurred_at)
    text = moment.astimezone(timezone(timedelta(hours=offset_hours))).isoformat()
    form = submitted_form(event) | {"occurred_at": text}
    taken = submit(msgspec.json.encode(form), event.received_at)
    assert isinstance(taken, Event)
    assert taken.occurred_at == event.occurred_at


def test_a_time_in_rfc_3339_keeps_its_milliseconds() -> None:
    """The time in seconds as a float, times 1000, is 2148355966343.9998."""
    form = {"type": "click", "session_id": str(OURS), "element": "0", "path": "0"}
    form["occurred_at"] = "2038-01-29T05:32:46.344+00:00"
    taken = submit(msgspec.json.encode(form), received_at=2148355966344)
    assert isinstance(taken, Event)
    assert taken.occurred_at == 2148355966344


@pytest.mark.parametrize("name", SERVER_FIELDS)
@given(event=events())
def test_what_only_the_server_knows_is_refused_from_the_body(name: str, event: Event) -> None:
    form = submitted_form(event) | {name: msgspec.json.decode(encode_record(event))[name]}
    verdict = submit(msgspec.json.encode(form), event.received_at)
    assert isinstance(verdict, Invalid)
    assert (verdict.field, verdict.reason) == (name, Reason.UNKNOWN_FIELD)


@pytest.mark.parametrize(
    ("occurred_at", "reason"),
    [
        ("2026-11-01T10:00:00", Reason.WRONG_FORMAT),
        ("yesterday", Reason.WRONG_FORMAT),
        ("1999-12-31T23:59:59Z", Reason.OUT_OF_RANGE),
        (1.5, Reason.WRONG_TYPE),
        (None, Reason.WRONG_TYPE),
        ("2099-01-01T00:00:00Z", Reason.IN_THE_FUTURE),
    ],
)
@given(event=events())
def test_a_bad_time_is_named(occurred_at: object, reason: Reason, event: Event) -> None:
    form = submitted_form(event) | {"occurred_at": occurred_at}
    verdict = submit(
        msgspec.json.encode(form), int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
    )
    assert isinstance(verdict, Invalid)
    assert (verdict.field, verdict.reason) == ("occurred_at", reason)


@given(st.binary(max_size=200))
def test_noise_gets_a_verdict(noise: bytes) -> None:
    assert isinstance(submit(noise, 1_700_000_000_000), Invalid)


@given(st.lists(events(), max_size=5))
def test_a_batch_is_split_in_order(batch: list[Event]) -> None:
    items = split_batch(b" \n" + msgspec.json.encode(batch))
    assert not isinstance(items, Invalid)
    assert [msgspec.json.decode(item) for item in items] == msgspec.json.decode(
        msgspec.json.encode(batch)
    )


def test_one_object_is_a_batch_of_one() -> None:
    assert split_batch(b'{"a": 1}') == [b'{"a": 1}']


@pytest.mark.parametrize("body", [b"[1,", b"[1]x", b"[\xff]", b"[" * 100_000])
def test_a_broken_batch_is_not_json(body: bytes) -> None:
    verdict = split_batch(body)
    assert isinstance(verdict, Invalid)
    assert verdict.reason == Reason.NOT_JSON
