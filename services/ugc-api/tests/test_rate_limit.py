import threading
import time
import tracemalloc
from uuid import UUID, uuid4

import pytest
from api_samples import USER
from ugc_api.rate_limit import WINDOW_S, Allowance, RateLimitedError, WindowCounts

OTHER = UUID("018f2b7a-0000-7000-8000-0000000000ff")


class Clock:
    def __init__(self) -> None:
        self.now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


def test_each_viewer_has_an_allowance_of_its_own() -> None:
    allowance = Allowance("requests", 3, now_s=Clock())
    for user in (USER, OTHER):
        for _ in range(3):
            allowance.spend(user)
        with pytest.raises(RateLimitedError):
            allowance.spend(user)


def test_a_refusal_says_when_to_come_back() -> None:
    clock = Clock()
    allowance = Allowance("events", 10, now_s=clock)
    allowance.spend(USER, 8)
    clock.now_s += 17.5
    with pytest.raises(RateLimitedError, match="at most 10 events a minute") as caught:
        allowance.spend(USER, 3)
    error = caught.value
    assert (error.what, error.limit, error.remaining) == ("events", 10, 2)
    assert error.retry_after_s == 43
    # What was refused is not counted, and what fits still passes.
    allowance.spend(USER, 2)
    clock.now_s += error.retry_after_s
    allowance.spend(USER, 10)


def test_hammering_does_not_prolong_the_refusal() -> None:
    clock = Clock()
    allowance = Allowance("requests", 1, now_s=clock)
    allowance.spend(USER)
    for _ in range(WINDOW_S - 1):
        clock.now_s += 1
        with pytest.raises(RateLimitedError):
            allowance.spend(USER)
    clock.now_s += 1
    allowance.spend(USER)


def test_zero_is_no_limit() -> None:
    allowance = Allowance("events", 0)
    for _ in range(1000):
        allowance.spend(USER, 10**9)


def test_a_million_viewers_take_bounded_memory() -> None:
    allowance = Allowance("requests", 600, max_counts=10_000)
    tracemalloc.start()
    try:
        for n in range(1_000_000 // 20):
            allowance.spend(UUID(int=n))
            if n == 20_000:
                before = tracemalloc.get_traced_memory()[0]
        after = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert after - before < 4_000_000


def test_when_there_are_too_many_viewers_all_begin_anew() -> None:
    counts = WindowCounts(Clock(), max_counts=100)
    for n in range(1000):
        counts.incr(str(n), WINDOW_S)
        assert len(counts) <= 100
    assert counts.get("999") == 1
    assert counts.get("0") == 0


def test_a_window_ends_for_all_counts() -> None:
    clock = Clock()
    counts = WindowCounts(clock)
    assert [counts.incr("a", 60), counts.incr("a", 60, 5), counts.incr("b", 60)] == [1, 6, 1]
    clock.now_s += 60
    assert counts.get("a") == 0
    assert counts.incr("b", 60) == 1
    assert counts.reset() == 1
    counts.incr("c", 60)
    counts.clear("c")
    assert (len(counts), counts.check(), counts.get_expiry("c")) == (0, True, clock.now_s + 60)


def test_threads_lose_no_count() -> None:
    allowance = Allowance("requests", 1000, now_s=Clock())
    refused: list[int] = []

    def send() -> None:
        for _ in range(300):
            try:
                allowance.spend(USER)
            except RateLimitedError:
                refused.append(1)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 200


def test_it_starts_no_thread() -> None:
    before = threading.active_count()
    Allowance("requests", 5, now_s=time.monotonic).spend(uuid4())
    assert threading.active_count() <= before  # one of another test may have ended meanwhile
