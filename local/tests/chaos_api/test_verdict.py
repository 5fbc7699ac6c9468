import msgspec
from ugc_local.chaos_api.verdict import judge

SENT = {"event_id": "a", "type": "rating", "score": 3, "user_id": "u"}


def record(**changes):
    return msgspec.json.encode(SENT | {"received_at": 1} | changes)


def found(acknowledged, *values):
    verdict = judge({event["event_id"]: event for event in acknowledged}, values)
    return verdict.acknowledged, verdict.records, verdict.missing, verdict.altered


def test_an_acknowledged_event_is_there_with_all_its_fields():
    assert found([SENT], record()) == (1, 1, 0, 0)


def test_what_a_client_repeated_may_stand_twice():
    assert found([SENT], record(received_at=1), record(received_at=2)) == (1, 2, 0, 0)


def test_what_was_not_acknowledged_may_be_there():
    assert found([SENT], record(), record(event_id="b", score=4)) == (1, 2, 0, 0)


def test_an_acknowledged_event_without_a_record_is_missing():
    verdict = judge({"a": SENT, "b": SENT | {"event_id": "b"}}, [record()])
    assert (verdict.missing, verdict.altered) == (1, 0)
    assert verdict.examples == ["missing: b"]


def test_another_value_or_another_viewer_is_altered():
    assert found([SENT], record(score=4)) == (1, 1, 0, 1)
    assert found([SENT], record(user_id="v")) == (1, 1, 0, 1)
    assert found([SENT], record(), record(score=4)) == (1, 2, 0, 1)
