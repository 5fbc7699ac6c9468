from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_local.demo.freshness import Delays, Place, Sampler, Sightings, delays

PLACE: Place = ("views", 0)


def test_a_row_is_seen_by_the_first_sample_that_reaches_its_offset() -> None:
    sightings = Sightings()
    for now_ms, offset in [(1_000, 9), (1_250, 9), (1_500, 20)]:
        sightings.record({PLACE: offset}, now_ms)
    assert [sightings.first_seen_ms(PLACE, offset) for offset in (0, 9, 10, 20, 21)] == [
        1_000,
        1_000,
        1_500,
        1_500,
        None,
    ]


def test_delays_are_taken_row_by_row() -> None:
    sightings = Sightings()
    sightings.record({PLACE: 1}, 2_000)
    found = delays([(PLACE, 0, 1_000), (PLACE, 1, 1_900), (PLACE, 2, 1_950)], sightings)
    assert found.count == 2
    assert (found.quantile_s(0.5), found.quantile_s(0.99)) == (0.11, 1.01)


@given(st.lists(st.integers(0, 500_000), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_one_bin_of_the_exact_one(values: list[int], q: float) -> None:
    histogram = Delays()
    for value in values:
        histogram.add(value)
    ordered = sorted(values)
    exact = next(v for rank, v in enumerate(ordered, 1) if rank >= q * len(ordered))
    quantile_s = histogram.quantile_s(q)
    assert quantile_s is not None
    assert 0 < quantile_s * 1000 - exact <= Delays.BIN_MS + 1e-6


def test_without_delays_there_is_no_quantile() -> None:
    assert Delays().quantile_s(0.5) is None


def test_the_sampler_takes_a_last_sample_when_it_is_stopped() -> None:
    offset = {PLACE: 1}
    sampler = Sampler(lambda: dict(offset), interval_s=60)
    sampler.start()
    offset[PLACE] = 7
    assert list(sampler.stop().offsets[PLACE]) == [7]


def test_a_failed_sample_is_raised_and_not_swallowed() -> None:
    def fails() -> Mapping[Place, int]:
        raise RuntimeError("no answer")

    sampler = Sampler(fails, interval_s=0.001)
    sampler.start()
    with pytest.raises(RuntimeError, match="no answer"):
        sampler.stop()
