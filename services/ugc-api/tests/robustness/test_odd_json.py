"""JSON that parsers disagree about: what is taken, what is refused, and nobody else suffers."""

import json

import pytest
from api_samples import NOW_MS, USER, headers, tick

EVENT = json.dumps(tick(device="tv"))


def with_field(name, text):
    """The event with a field that is written as `text`."""
    event = tick()
    event.pop(name, None)
    return f'{json.dumps(event)[:-1]}, "{name}": {text}}}'


def more(text):
    return f"{EVENT[:-1]}, {text}}}"


REFUSED = {
    "a name twice, the type": (more('"type": "rating", "score": 3'), "unknown_type"),
    "the viewer, escaped": (more(r'"user\u005fid": "' + str(USER) + '"'), "unknown_field"),
    "the server's time": (more(f'"received_at": {NOW_MS}'), "unknown_field"),
    "a name that is empty": (more('"": 1'), "unknown_field"),
    "thousands of names": (more(", ".join(f'"k{n}": 1' for n in range(4000))), "unknown_field"),
    "a float that is whole": (with_field("position_ms", "1.0"), "wrong_type"),
    "a number with an exponent": (with_field("position_ms", "1e3"), "wrong_type"),
    "more than a float holds": (with_field("position_ms", "1e400"), "wrong_format"),
    "less than a float holds": (with_field("position_ms", "1e-400"), "wrong_type"),
    "2 to the 64": (with_field("position_ms", str(2**64)), "out_of_range"),
    "400 digits": (with_field("position_ms", "9" * 400), "out_of_range"),
    "5,000 digits": (with_field("position_ms", "9" * 5000), "out_of_range"),
    "a digit in a text": (with_field("position_ms", '"1"'), "wrong_type"),
    "a truth": (with_field("position_ms", "true"), "wrong_type"),
    "a leap second": (with_field("occurred_at", '"2025-12-31T23:59:60Z"'), "wrong_format"),
    "no offset": (with_field("occurred_at", '"2025-12-31T00:00:00"'), "wrong_format"),
    "an offset of a day": (
        with_field("occurred_at", '"2025-12-31T00:00:00+24:00"'),
        "wrong_format",
    ),
    "before the year 1": (with_field("occurred_at", '"0001-01-01T00:00:00+23:59"'), "out_of_range"),
    "after 9999": (with_field("occurred_at", '"9999-12-31T23:59:59-23:59"'), "out_of_range"),
    "2 to the 70 ms": (with_field("occurred_at", str(2**70)), "out_of_range"),
    "a time as a float": (with_field("occurred_at", f"{NOW_MS}.0"), "wrong_type"),
    "an id in braces": (with_field("event_id", f'"{{{USER}}}"'), "wrong_format"),
    "an id with a prefix": (with_field("event_id", f'"urn:uuid:{USER}"'), "wrong_format"),
    "an id in wide digits": (with_field("event_id", f'"\uff10{str(USER)[1:]}"'), "wrong_format"),
    "a zero byte": (with_field("device", r'"\u0000"'), "wrong_format"),
    "bytes that are not UTF-8": (with_field("device", '"\udcff"'), "not_json"),
    "an overlong slash": (with_field("device", '"\udcc0\udcaf"'), "not_json"),
    "surrogates in UTF-8": (with_field("device", '"\udced\udca0\udcbd"'), "not_json"),
    "half a pair": (with_field("device", r'"\ud83d"'), "not_json"),
    "white space without end": (EVENT[:-1] + " " * 70_000 + "}", "too_large"),
    "deep": (with_field("device", "[" * 500 + "]" * 500), "wrong_type"),
}
TAKEN = {
    "a name twice, the last one counts": more('"position_ms": 1'),
    "minus nothing": with_field("position_ms", "-0"),
    "a blank for the T": with_field("occurred_at", '"2025-12-31 00:00:00z"'),
    "more than microseconds": with_field("occurred_at", '"2025-12-31T00:00:00.123456789123Z"'),
    "an id in capitals": with_field("event_id", '"018F2B7A-0000-7000-8000-00000000000A"'),
    "an id with an escape": with_field("event_id", r'"018f2b7a-0000-7000-8000-00000000000\u0061"'),
    "no id": with_field("event_id", "null"),
    "a name with an escape": with_field(r"position\u005fms", "1"),
}
NO_JSON = {
    "a byte order mark": f"\ufeff{EVENT}",
    "a comma behind the last": f"[{EVENT},]",
    "two events without a line's end": EVENT + EVENT,
    "a leading zero": with_field("position_ms", "01"),
    "a plus": with_field("position_ms", "+1"),
    "no number": with_field("position_ms", "NaN"),
    "endless": with_field("position_ms", "Infinity"),
    "hexadecimal": with_field("position_ms", "0x10"),
    "single quotes": EVENT.replace('"', "'"),
    "a comment": f"/* */ {EVENT}",
    "what follows": f"{EVENT} x",
    "deeper than can be read": "[" * 100_000,
}


def post(client, text):
    answer = client.post(
        "/v1/events", data=text.encode("utf-8", "surrogateescape"), headers=headers()
    )
    return answer.status_code, answer.get_json()


@pytest.mark.parametrize("name", REFUSED)
def test_an_odd_event_is_refused_for_itself(client, sink, name):
    text, reason = REFUSED[name]
    good = json.dumps(tick())
    status, answer = post(client, f"[{good}, {text}, {json.dumps(tick())}]")
    assert [result.get("reason") for result in answer["results"]] == [None, reason, None]
    assert (status, len(sink.records)) == (207, 2)


@pytest.mark.parametrize("name", TAKEN)
def test_an_odd_event_is_taken_once_and_written_plainly(client, sink, name):
    status, answer = post(client, TAKEN[name])
    assert status == 202, answer
    ((_, _, value, _, _),) = sink.records
    written = json.loads(value, object_pairs_hook=lambda pairs: pairs)
    assert len(dict(written)) == len(written)
    stored = dict(written)
    assert stored["user_id"] == str(USER)
    assert stored["event_id"] == answer["results"][0]["event_id"] == stored["event_id"].lower()
    assert json.dumps(stored, separators=(",", ":")).encode() == value


@pytest.mark.parametrize("name", NO_JSON)
def test_what_is_not_json_is_refused_whole(client, sink, name):
    status, answer = post(client, NO_JSON[name])
    assert (status, answer["type"]) == (400, "urn:ugc:problem:not-json")
    assert sink.records == []


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-32", "utf-7"])
def test_only_utf_8_is_json(client, sink, coding):
    body = json.dumps(tick(device="+")).encode(coding)
    answer = client.post("/v1/events", data=body, headers=headers())
    assert answer.status_code == 400
    assert sink.records == []
