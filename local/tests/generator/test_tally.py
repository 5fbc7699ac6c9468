import json
from math import ceil
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_local.generator.connection import Answer
from ugc_local.generator.messages import Expected, Refusal, Request
from ugc_local.generator.tally import MAX_EXAMPLES, Latencies, Tally, mismatch, read

ACCEPTED = {"status": "accepted", "event_id": "e1"}
INVALID = {"status": "invalid", "field": "score", "reason": "out_of_range", "detail": "at most 10"}
REFUSAL = Refusal("score", "out_of_range")


def request(*expected: Expected) -> Request:
    return Request(UUID(int=1), b"[]", expected, again=False)


def answer(status: int, *results: dict[str, str]) -> Answer:
    accepted = sum(result["status"] == "accepted" for result in results)
    body = {"results": results, "accepted": accepted, "invalid": len(results) - accepted}
    return Answer(status, json.dumps(body).encode(), None)


@pytest.mark.parametrize(
    ("expected", "due"),
    [
        (("e1",), answer(202, ACCEPTED)),
        (("e1", REFUSAL), answer(207, ACCEPTED, INVALID)),
        ((REFUSAL,), answer(400, INVALID)),
    ],
)
def test_the_answer_that_is_due_is_no_mismatch(expected: tuple[Expected, ...], due: Answer) -> None:
    assert mismatch(request(*expected), due, read(due)) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (answer(202, ACCEPTED, INVALID), "status 202 instead of 207"),
        (answer(207, INVALID, ACCEPTED), "event 0"),
        (answer(207, ACCEPTED | {"event_id": "e2"}, INVALID), "event 0"),
        (answer(207, ACCEPTED, INVALID | {"field": "type"}), "event 1"),
        (answer(207, ACCEPTED, INVALID | {"reason": "missing"}), "event 1"),
        (answer(207, ACCEPTED), "1 results for 2 events"),
        (Answer(207, b"<html>", None), "another shape"),
        (Answer(207, answer(207, ACCEPTED, INVALID).body.replace(b": 1", b": 2"), None), "counts"),
        (Answer(500, b"it broke", None), "it broke"),
    ],
)
def test_any_other_answer_is(wrong: Answer, says: str) -> None:
    assert says in (mismatch(request("e1", REFUSAL), wrong, read(wrong)) or "")


def test_what_was_answered_is_counted_whether_due_or_not() -> None:
    tally, total = Tally(), Tally()
    tally.answered(request("e1", REFUSAL), answer(207, ACCEPTED, INVALID), 0.1)
    tally.answered(request("e1"), answer(400, INVALID), 0.1)
    for _ in range(2):
        total.merge(tally)
    assert (total.accepted, total.rejected, total.mismatches) == (2, {REFUSAL: 4}, 2)


def test_examples_are_few_whatever_happens() -> None:
    tally, total = Tally(), Tally()
    for _ in range(100):
        tally.answered(request("e1"), Answer(500, b"x" * 10_000, None), 0.1)
    for _ in range(3):
        total.merge(tally)
    assert (total.mismatches, total.requests, total.events) == (300, 300, 300)
    assert len(total.examples) == MAX_EXAMPLES
    assert max(map(len, total.examples)) < 1_000


@given(
    st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=50),
    st.lists(st.floats(1e-5, 1e3), max_size=50),
    st.sampled_from([0.01, 0.5, 0.99, 1.0]),
)
def test_quantiles_are_at_most_9_percent_too_high(
    some: list[float], others: list[float], q: float
) -> None:
    latencies, more = Latencies(), Latencies()
    for seconds in some:
        latencies.add(seconds)
    for seconds in others:
        more.add(seconds)
    latencies.merge(more)
    exact = sorted(some + others)[ceil(q * len(some + others)) - 1]
    assert exact * 0.999 <= latencies.quantile_s(q) <= exact * 1.0906


def test_no_latencies_no_quantile() -> None:
    assert Latencies().quantile_s(0.5) == 0
