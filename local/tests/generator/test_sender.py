"""The sender against a small API that answers by the wire contract, and misbehaves when told to."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import count
from uuid import UUID

import pytest
from small_api import DROP, HANG, Api, token_of
from ugc_local.deadline import Deadline
from ugc_local.generator import (
    GroundTruth,
    Outcome,
    Plan,
    Poison,
    Refusal,
    ReplayError,
    Request,
    replay,
)
from ugc_local.generator.identity import Identities


def no_poison(
    topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> None:
    raise AssertionError("no poison was expected")


def a_request(user: int, number: int) -> Request:
    event_id = Identities(0).event(user, number, 1_700_000_000_000)
    event = {
        "type": "bookmark",
        "event_id": event_id,
        "occurred_at": 1_700_000_000_000,
        "session_id": str(UUID(int=5)),
        "content_id": str(UUID(int=6)),
        "bookmarked": True,
    }
    return Request(UUID(int=user), json.dumps([event]).encode(), (event_id,), again=False)


def send(api: Api, requests: Sequence[Request], **options: object) -> Outcome:
    return replay(
        requests,
        api.url,
        token_of,
        send_poison=no_poison,
        **options,  # type: ignore[arg-type]
    )


def test_a_day_is_sent_in_order_and_answered_as_expected(api: Api) -> None:
    plan = Plan(31, date(2026, 1, 15), 20_000)
    truth = GroundTruth(plan.day, plan.catalogue)
    poisoned: list[tuple[str, bytes, bytes | None, Sequence[tuple[str, bytes]]]] = []
    progress: list[int] = []
    sent: dict[str, list[bytes]] = defaultdict(list)

    def watched() -> Iterator[Request | Poison]:
        for item in plan.stream(truth):
            if isinstance(item, Request):
                sent[str(item.user_id)].append(item.body)
            yield item

    outcome = replay(
        watched(),
        api.url + "/",
        token_of,
        send_poison=lambda *record: poisoned.append(record),
        connections=3,
        on_progress=progress.append,
    )
    assert outcome.examples == ()
    assert outcome.complete
    assert (outcome.mismatches, outcome.unknown_outcomes, outcome.unreachable) == (0, 0, 0)
    assert (outcome.requests, outcome.events) == (truth.requests, 20_000)
    assert (outcome.accepted, outcome.rejected) == (truth.accepted, truth.rejected)
    assert outcome.poison == len(poisoned) == truth.dead_letters.total()
    assert api.taken == sent
    assert len(api.connections) == 3
    assert progress == sorted(progress)
    assert progress[-1] == 20_000
    assert 0 < outcome.latency_p50_s <= outcome.latency_p99_s < outcome.seconds


@pytest.mark.parametrize("status", [503, 207])
def test_what_is_not_all_acknowledged_is_repeated_with_the_same_bytes(
    api: Api, status: int
) -> None:
    api.behaviour = lambda attempt: status if attempt % 3 == 0 else None
    requests = [a_request(user=1, number=number) for number in range(20)]
    outcome = send(api, requests)
    assert outcome.complete
    assert (outcome.requests, outcome.mismatches) == (20, 0)
    assert outcome.unknown_outcomes == 10
    assert api.taken[str(UUID(int=1))] == [request.body for request in requests]


def test_retry_after_is_honoured(api: Api) -> None:
    api.behaviour = lambda attempt: 503 if attempt == 0 else None
    api.retry_after = "1"
    outcome = send(api, [a_request(1, 0)])
    assert outcome.seconds >= 1
    # What the API asked to wait for is not its latency.
    assert outcome.latency_p99_s / 1.09 <= outcome.seconds - 1


def test_a_lost_connection_is_an_unknown_outcome_and_repeated(api: Api) -> None:
    api.behaviour = lambda attempt: DROP if attempt in {0, 3} else None
    requests = [a_request(user=1, number=number) for number in range(5)]
    outcome = send(api, requests)
    assert (outcome.complete, outcome.requests, outcome.unknown_outcomes) == (True, 5, 2)
    assert api.taken[str(UUID(int=1))] == [request.body for request in requests]


def test_a_connection_that_the_server_closed_meanwhile_is_made_again(api: Api) -> None:
    api.keep_alive = False

    def slowly() -> Iterator[Request]:
        for number in range(3):
            yield a_request(1, number)
            assert Deadline.after(60).poll(lambda: len(api.closed) > number)  # noqa: B023

    outcome = replay(slowly(), api.url, token_of, send_poison=no_poison)
    assert (outcome.requests, outcome.unknown_outcomes) == (3, 0)
    assert len(api.connections) == 3


def test_a_wrong_answer_is_reported_with_an_example(api: Api) -> None:
    def spoil(answer: dict[str, object]) -> None:
        answer["results"] = [{"status": "invalid", "field": "type", "reason": "missing"}]

    api.spoil = spoil
    outcome = send(api, [a_request(1, number) for number in range(30)])
    assert (outcome.complete, outcome.requests, outcome.mismatches) == (True, 30, 30)
    assert 0 < len(outcome.examples) <= 10
    assert "missing" in outcome.examples[0]


@pytest.mark.parametrize("status", [401, 404, 413, 500])
def test_a_refused_request_is_a_mismatch_and_not_repeated(api: Api, status: int) -> None:
    api.behaviour = lambda attempt: status if attempt == 0 else None
    outcome = send(api, [a_request(1, 0), a_request(1, 1)])
    assert (outcome.requests, outcome.mismatches, outcome.unknown_outcomes) == (2, 1, 0)
    assert str(status) in outcome.examples[0]


def test_an_expectation_not_met_is_a_mismatch(api: Api) -> None:
    sound = a_request(1, 0)
    request = Request(sound.user_id, sound.body, (Refusal("type", "missing"),), again=False)
    assert send(api, [request]).mismatches == 1


def test_patience_has_an_end(api: Api) -> None:
    api.behaviour = lambda _: 503
    endless = (a_request(user, user) for user in count(1))
    with pytest.raises(ReplayError, match="503"):
        replay(endless, api.url, token_of, send_poison=no_poison, patience_s=0.3)


def test_an_api_that_is_not_there_is_waited_for() -> None:
    with socket.socket() as probe:  # bound but not listening: nobody else takes the port
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(ReplayError, match="no answer"):
            replay([a_request(1, 0)], url, token_of, send_poison=no_poison, patience_s=0.3)


def test_stop_ends_a_replay_in_mid_call(api: Api) -> None:
    api.behaviour = lambda attempt: HANG if attempt >= 4 else None
    stop = threading.Event()
    endless = (a_request(user, user) for user in count(1))

    def stop_when_it_hangs(_: int) -> None:
        if api.hanging.is_set():
            stop.set()

    outcome = replay(
        endless,
        api.url,
        token_of,
        send_poison=no_poison,
        on_progress=stop_when_it_hangs,
        stop=stop,
    )
    assert not outcome.complete
    assert (outcome.requests, outcome.mismatches) == (4, 0)


def test_an_interrupt_leaves_no_thread(api: Api) -> None:
    api.behaviour = lambda _: HANG

    def interrupted() -> Iterator[Request]:
        yield a_request(1, 0)
        assert api.hanging.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(interrupted(), api.url, token_of, send_poison=no_poison)


def test_an_error_in_minting_is_not_swallowed(api: Api) -> None:
    def broken(user_id: UUID) -> str:
        raise LookupError("no such viewer")

    with pytest.raises(LookupError, match="no such viewer"):
        replay([a_request(1, 0)] * 50, api.url, broken, send_poison=no_poison)


def test_an_address_must_be_one() -> None:
    with pytest.raises(ValueError, match="not an http address"):
        replay([], "127.0.0.1:80", token_of, send_poison=no_poison)


def test_an_empty_stream_is_nothing_to_do(api: Api) -> None:
    outcome = send(api, [])
    assert outcome.complete
    assert (outcome.requests, outcome.latency_p50_s) == (0, 0)
