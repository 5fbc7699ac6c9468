from hypothesis import given
from hypothesis import strategies as st
from ugc_etl.backoff import Backoff


def test_delays_double_up_to_the_limit():
    backoff = Backoff(first_s=1, most_s=10)
    assert [backoff.delay_s(n, 0.0) for n in range(1, 6)] == [0.5, 1, 2, 4, 5]
    assert [backoff.delay_s(n, 0.5) for n in range(1, 6)] == [0.75, 1.5, 3, 6, 7.5]


@given(failures=st.integers(1, 10**6), random=st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_nothing_and_never_too_long(failures, random):
    assert 0.1 <= Backoff(first_s=0.2, most_s=15).delay_s(failures, random) <= 15
