import json
from typing import Any
from uuid import UUID

import pytest
from api_samples import FILM, NOW_MS, PREFIX, USER, rating, tick
from ugc_api.ingest import Accepted, BodyError, BodyFault, Ingest, Intake, Rejected
from ugc_events import FAMILIES, Event, Reason, decode_record

GIVEN_ID = UUID("018f2b7a-0000-7000-8000-0000000000ff")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read(events: Any, *, traceparent: str | None = None, max_batch: int = 1000) -> Intake:
    ingest = Ingest(topic_prefix=PREFIX, max_batch=max_batch, new_event_id=lambda: GIVEN_ID)
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    return ingest.read(body, user_id=USER, received_at_ms=NOW_MS, traceparent=traceparent)


def test_an_event_becomes_the_record_of_its_family() -> None:
    sent = tick()
    intake = read(sent, traceparent=TRACE)
    (record,) = intake.records
    assert record.topic == PREFIX + "ugc.views.v1"
    assert record.key == f"{USER}:{FILM}".encode()
    assert record.timestamp_ms == NOW_MS
    assert record.headers == (("traceparent", TRACE.encode()),)
    event = decode_record(FAMILIES[0], record.value)
    assert isinstance(event, Event)
    assert event.user_id == USER
    assert event.received_at == NOW_MS
    assert str(event.event_id) == sent["event_id"]
    assert intake.answer.results == [Accepted(event.event_id)]
    assert intake.answer.status == 202


def test_results_are_in_the_order_of_the_body() -> None:
    events = [tick(), tick(position_ms=-1), rating(), {"type": "nonsense"}, tick()]
    intake = read(events)
    results = intake.answer.results
    assert results[0] == Accepted(UUID(events[0]["event_id"]))
    assert isinstance(results[1], Rejected)
    assert (results[1].field, results[1].reason) == ("position_ms", Reason.OUT_OF_RANGE)
    assert results[2] == Accepted(UUID(events[2]["event_id"]))
    assert isinstance(results[3], Rejected)
    assert results[3].reason is Reason.UNKNOWN_TYPE
    assert results[4] == Accepted(UUID(events[4]["event_id"]))
    assert (intake.answer.accepted, intake.answer.invalid, intake.answer.status) == (3, 2, 207)
    assert intake.families == {"views": 2, "reactions": 1}
    assert intake.reasons == {"out_of_range": 1, "unknown_type": 1}
    assert [r.topic for r in intake.records] == [
        PREFIX + name for name in ("ugc.views.v1", "ugc.reactions.v1", "ugc.views.v1")
    ]


def test_the_answer_as_clients_read_it() -> None:
    sent = tick()
    answer = json.loads(read([sent, tick(device=7)]).answer.encode())
    assert answer == {
        "results": [
            {"status": "accepted", "event_id": sent["event_id"]},
            {
                "status": "invalid",
                "field": "device",
                "reason": "wrong_type",
                "detail": "expected str, got int",
            },
        ],
        "accepted": 1,
        "invalid": 1,
    }


def test_an_event_without_an_id_gets_one() -> None:
    sent = tick()
    del sent["event_id"]
    assert read(sent).answer.results == [Accepted(GIVEN_ID)]


@pytest.mark.parametrize("field", ["user_id", "received_at"])
def test_nobody_speaks_for_the_server(field: str) -> None:
    (result,) = read(tick(**{field: str(USER)})).answer.results
    assert isinstance(result, Rejected)
    assert (result.field, result.reason) == (field, Reason.UNKNOWN_FIELD)


@pytest.mark.parametrize("value", [42, "text", None, True, [[1]], [None]])
def test_json_that_is_no_event_is_one_invalid_result(value: Any) -> None:
    answer = read(value).answer
    assert (answer.accepted, answer.invalid, answer.status) == (0, 1, 400)


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b"{", b'{"type":', b"[1,", b"[}", b"nonsense", b"\xff\xfe", b"[" * 100_000],
)
def test_a_body_that_is_not_json(body: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        read(body)
    assert caught.value.fault is BodyFault.NOT_JSON


def test_an_empty_array_has_no_events() -> None:
    with pytest.raises(BodyError) as caught:
        read(b" [ ] ")
    assert caught.value.fault is BodyFault.NO_EVENTS


def test_a_body_has_as_many_events_as_the_limit_and_no_more() -> None:
    assert read([tick()] * 3, max_batch=3).answer.accepted == 3
    with pytest.raises(BodyError) as caught:
        read([tick()] * 4, max_batch=3)
    assert caught.value.fault is BodyFault.TOO_MANY_EVENTS


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        TRACE.upper(),
        TRACE + "\n",
        TRACE[:-1],
        "ff" + TRACE[2:],
        "00-" + "0" * 32 + TRACE[35:],
        TRACE[:36] + "0" * 16 + "-01",
    ],
)
def test_a_trace_context_that_is_not_valid_is_ignored(header: str | None) -> None:
    (record,) = read(tick(), traceparent=header).records
    assert record.headers == ()
