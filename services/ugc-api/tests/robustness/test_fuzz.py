import gc
import tracemalloc

import pytest
from robustness.fuzz import Broken, Fuzz

WARM_UP, CASES = 1500, 3000
GROWTH_BYTES = 256 * 1024
"""Caches may still fill a little; a leak of 100 bytes a case would show."""


def test_random_requests_get_consistent_answers_and_leave_nothing_in_memory():
    fuzz = Fuzz(seed=0)
    tracemalloc.start()
    try:
        for number in range(WARM_UP):
            fuzz.case(number)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(WARM_UP, WARM_UP + CASES):
            fuzz.case(number)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # It was no walk in one corner.
    assert fuzz.statuses.keys() >= {202, 207, 400, 401, 404, 405, 413, 415}
    assert fuzz.records > CASES / 2
    assert after - before < GROWTH_BYTES


@pytest.mark.parametrize("seed", [1, 2])
def test_a_case_is_drawn_by_its_seed_and_number_alone(seed):
    one, other = Fuzz(seed), Fuzz(seed)
    for number in (7, 3):
        assert one.request(number).body == other.request(number).body
    assert one.request(1).body != one.request(2).body


def test_an_answer_of_the_server_s_own_fault_is_no_answer():
    fuzz = Fuzz(seed=0)
    fuzz.sink.capacity = 0

    def until_something_is_published():
        for number in range(50):
            fuzz.case(number)

    with pytest.raises(Broken, match="503"):
        until_something_is_published()
