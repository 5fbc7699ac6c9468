import json
import tracemalloc
from typing import Any
from uuid import UUID

import msgspec
import pytest
from api_samples import FILM, NOW_MS, PREFIX, USER, rating, tick
from ugc_api.ingest import Accepted, Answer, BodyError, BodyFault, Ingest, Intake, Rejected
from ugc_events import FAMILIES, Event, Reason, decode_record, encode_record

GIVEN_ID = UUID("018f2b7a-0000-7000-8000-0000000000ff")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def ingest(max_batch: int = 1000) -> Ingest:
    return Ingest(topic_prefix=PREFIX, max_batch=max_batch, new_event_id=lambda: GIVEN_ID)


def read(
    events: Any, *, traceparent: str | None = None, max_batch: int = 1000, lines: bool = False
) -> Intake:
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    return ingest(max_batch).read(
        body, user_id=USER, received_at_ms=NOW_MS, traceparent=traceparent, lines=lines
    )


def answered(intake: Intake, stored: set[int] | None = None) -> tuple[int, Answer]:
    status, body = intake.answer(stored)
    return status, msgspec.json.decode(body, type=Answer, strict=True)


def statuses(intake: Intake, stored: set[int] | None = None) -> tuple[int, list[str]]:
    status, body = intake.answer(stored)
    return status, [result["status"] for result in json.loads(body)["results"]]


def test_an_event_becomes_the_record_of_its_family() -> None:
    sent = tick()
    intake = read(sent, traceparent=TRACE)
    ((topic, key, value),) = intake.batch.records
    assert topic == PREFIX + "ugc.views.v1"
    assert key == f"{USER}:{FILM}".encode()
    assert intake.batch.timestamp_ms == NOW_MS
    assert intake.batch.headers == (("traceparent", TRACE.encode()),)
    event = decode_record(FAMILIES[0], value)
    assert isinstance(event, Event)
    assert encode_record(event) == value
    assert event.user_id == USER
    assert event.received_at == NOW_MS
    assert str(event.event_id) == sent["event_id"]
    assert answered(intake) == (202, Answer([Accepted(event.event_id)], 1, 0, 0, 0))


def test_results_are_in_the_order_of_the_body() -> None:
    events = [tick(), tick(position_ms=-1), rating(), {"type": "nonsense"}, tick()]
    intake = read(events)
    status, answer = answered(intake)
    results = answer.results
    assert results[0] == Accepted(UUID(events[0]["event_id"]))
    assert isinstance(results[1], Rejected)
    assert (results[1].field, results[1].reason) == ("position_ms", Reason.OUT_OF_RANGE)
    assert results[2] == Accepted(UUID(events[2]["event_id"]))
    assert isinstance(results[3], Rejected)
    assert results[3].reason is Reason.UNKNOWN_TYPE
    assert results[4] == Accepted(UUID(events[4]["event_id"]))
    assert (answer.accepted, answer.invalid, status) == (3, 2, 207)
    assert ingest().families_of(intake.batch.records) == {"views": 2, "reactions": 1}
    assert intake.reasons == {"out_of_range": 1, "unknown_type": 1}
    assert [topic for topic, _, _ in intake.batch.records] == [
        PREFIX + name for name in ("ugc.views.v1", "ugc.reactions.v1", "ugc.views.v1")
    ]


def test_the_answer_as_clients_read_it() -> None:
    sent = tick()
    _, body = read([sent, tick(device=7), sent]).answer()
    assert json.loads(body) == {
        "results": [
            {"status": "accepted", "event_id": sent["event_id"]},
            {
                "status": "invalid",
                "field": "device",
                "reason": "wrong_type",
                "detail": "expected str, got int",
            },
            {"status": "duplicate", "event_id": sent["event_id"]},
        ],
        "accepted": 1,
        "duplicate": 1,
        "invalid": 1,
        "retry": 0,
    }


@pytest.mark.parametrize(
    ("count", "stored", "status", "fates"),
    [
        (3, None, 202, ["accepted"] * 3),
        (3, {0, 1, 2}, 202, ["accepted"] * 3),
        (3, {1}, 207, ["retry", "accepted", "retry"]),
        (1, {0}, 202, ["accepted"]),
    ],
)
def test_what_is_not_stored_is_to_be_sent_again(
    count: int, stored: set[int] | None, status: int, fates: list[str]
) -> None:
    assert statuses(read([tick() for _ in range(count)]), stored) == (status, fates)


def test_of_events_with_one_id_the_first_valid_one_counts() -> None:
    one, other = tick(), tick()
    events = [one | {"device": "TV!"}, one, other, one | {"position_ms": 1}, other]
    events[3]["event_id"] = one["event_id"].upper()
    intake = read(events)
    assert [value for _, _, value in intake.batch.records] == [
        value for _, _, value in read([one, other]).batch.records
    ]
    assert statuses(intake) == (
        207,
        ["invalid", "accepted", "accepted", "duplicate", "duplicate"],
    )
    assert statuses(intake, {1}) == (
        207,
        ["invalid", "retry", "accepted", "duplicate", "duplicate"],
    )


def test_duplicates_alone_spoil_nothing() -> None:
    one = tick()
    assert statuses(read([one] * 3)) == (202, ["accepted", "duplicate", "duplicate"])


def test_an_event_without_an_id_gets_one() -> None:
    sent = tick()
    del sent["event_id"]
    assert answered(read(sent))[1].results == [Accepted(GIVEN_ID)]


@pytest.mark.parametrize("field", ["user_id", "received_at"])
def test_nobody_speaks_for_the_server(field: str) -> None:
    (result,) = answered(read(tick(**{field: str(USER)})))[1].results
    assert isinstance(result, Rejected)
    assert (result.field, result.reason) == (field, Reason.UNKNOWN_FIELD)


@pytest.mark.parametrize("value", [42, "text", None, True, [[1]], [None]])
def test_json_that_is_no_event_is_one_invalid_result(value: Any) -> None:
    assert statuses(read(value)) == (400, ["invalid"])


def ndjson(*events: Any) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


@pytest.mark.parametrize("lines", [True, False])
def test_events_line_by_line(lines: bool) -> None:
    events = [tick(), rating(), tick()]
    assert read(ndjson(*events), lines=lines) == read(events)
    assert read(ndjson(*events).replace(b"\n", b"\r\n\n") + b"\n", lines=lines) == read(events)


def test_a_line_that_is_not_json_is_one_invalid_result() -> None:
    body = ndjson(tick()) + b'\n{"type":\n[1]\n' + ndjson(tick())
    intake = read(body, lines=True)
    assert statuses(intake) == (207, ["accepted", "invalid", "invalid", "accepted"])
    assert intake.reasons == {"not_json": 1, "wrong_type": 1}


def test_one_object_may_have_many_lines() -> None:
    body = json.dumps(tick(), indent=2).encode()
    assert statuses(read(body)) == (202, ["accepted"])
    search = {
        name: value
        for name, value in tick(type="search", filters={"genre": "a } \n { b"}).items()
        if name not in ("content_id", "position_ms", "duration_ms", "device")
    }
    assert statuses(read(json.dumps([search], indent=2).encode())) == (202, ["accepted"])


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b"{", b'{"type":', b"[1,", b"[}", b"nonsense", b"\xff\xfe", b"[" * 100_000],
)
def test_a_body_that_is_not_json(body: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        read(body)
    assert caught.value.fault is BodyFault.NOT_JSON


@pytest.mark.parametrize(("body", "lines"), [(b" [ ] ", False), (b"\n \n", True), (b"", True)])
def test_a_body_without_events(body: bytes, lines: bool) -> None:
    with pytest.raises(BodyError) as caught:
        read(body, lines=lines)
    assert caught.value.fault is BodyFault.NO_EVENTS


def test_a_body_has_as_many_events_as_the_limit_and_no_more() -> None:
    assert len(read([tick(), tick(), tick()], max_batch=3).batch.records) == 3
    for lines in (False, True):
        with pytest.raises(BodyError) as caught:
            read(ndjson(*[tick()] * 4), max_batch=3, lines=lines)
        assert caught.value.fault is BodyFault.TOO_MANY_EVENTS


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"[" + b"0," * 2_000_000 + b"0]", False),
        (b"[" + b"{}," * 1_300_000 + b"{}]", False),
        (b"[[" + b"0," * 1_000_000 + b"0]," + b"0," * 1_000_000 + b"0]", False),
        (b'["' + b'\\"' * 100 + b'",' + b"0," * 2_000_000 + b"0]", False),
        (b"{}\n" * 1_300_000, True),
        (b"{}\n" * 1_300_000, False),
        (b"\n" * 4_000_000, True),
    ],
)
def test_far_too_many_events_take_no_memory(body: bytes, lines: bool) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BodyError) as caught:
            read(body, lines=lines)
        assert caught.value.fault is BodyFault.TOO_MANY_EVENTS
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


HALVES = [r"\ud83d", r"\uDE00", r"\ud83d\n", r"\ud83d\ud83d\ude00", r"\\\ud83d", r"x\uDBFF y"]


@pytest.mark.parametrize("text", HALVES)
def test_half_an_emoji_spoils_one_event_and_not_its_neighbours(text: str) -> None:
    # An app has cut a text where JavaScript counts two characters.
    cut = json.dumps(rating()).replace("rating", text)
    whole = [json.dumps(tick(device=name)) for name in ("tv", "web")]
    emoji = json.dumps({"type": "review"} | {"text": "\U0001f600 \\ud83d"})
    intake = read(f" [ {whole[0]} ,{cut}\n,\t{emoji}, [1, 2],{whole[1]} ] ".encode())
    verdicts = [getattr(result, "reason", None) for result in intake.results]
    assert verdicts[1:2] == [Reason.NOT_JSON]
    assert (verdicts[0], verdicts[4], len(verdicts)) == (None, None, 5)
    assert [json.loads(value)["device"] for _, _, value in intake.batch.records] == ["tv", "web"]
    # What is neither JSON otherwise, or needs too long a look, is refused whole.
    for body in (f"[{whole[0]}, {cut}", f"[{whole[0]}, {cut}, {json.dumps(chr(9) * 40_000)}]", cut):
        with pytest.raises(BodyError) as caught:
            read(body.encode())
        assert caught.value.fault is BodyFault.NOT_JSON


def test_what_is_in_texts_and_objects_is_not_counted_as_events() -> None:
    # So many commas and brackets in texts that they are looked at more closely.
    review = rating(type="review", text='a,"b",[c],{d},\\' * 200)
    del review["score"]
    reviews = [review | {"event_id": str(UUID(int=n))} for n in (1, 2, 3)]
    assert len(read(reviews, max_batch=3).batch.records) == 3
    assert len(read([review] * 3, max_batch=3).results) == 3


@pytest.mark.parametrize(
    "unending", [b'"', b'"' + b'\\"' * 400_000, b'\\"' * 400_000, b"]" * 400_000]
)
def test_a_text_without_an_end_is_not_looked_for_twice(unending: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        read(b"[" + unending + b"," * 200_000)
    assert caught.value.fault in (BodyFault.NOT_JSON, BodyFault.TOO_MANY_EVENTS)


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
    assert read(tick(), traceparent=header).batch.headers == ()
