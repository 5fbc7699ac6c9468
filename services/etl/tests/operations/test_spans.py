from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from ugc_etl.operations.spans import neighbours, size, told, without
from ugc_etl.protocol.ranges import Ranges

offsets = st.sets(st.integers(0, 40))


@given(offsets, offsets)
def test_without_is_the_difference_of_the_sets(these, others):
    left = without(Ranges.of_offsets(these), Ranges.of_offsets(others))
    assert left == Ranges.of_offsets(these - others)
    assert size(left) == len(these - others)


@given(offsets, st.integers(1, 10))
def test_neighbours_are_apart_and_lose_nothing(these, apart):
    ranges = Ranges.of_offsets(these)
    groups = list(neighbours(ranges, apart))
    assert Ranges.of(part for group in groups for part in group.parts) == ranges
    for group, following in pairwise(groups):
        assert following.parts[0][0] - group.end >= apart
    for group in groups:
        for part, following in pairwise(group.parts):
            assert following[0] - part[1] < apart


def test_ranges_are_told_inclusively_and_not_without_end():
    assert told(Ranges.of_offsets([7])) == "7"
    assert told(Ranges.of([(1, 4), (1000, 3001)])) == "1 to 3, 1,000 to 3,000 (2,004 offsets)"
    assert told(Ranges.of_offsets([1, 3, 5]), most=2) == "1, 3 and 1 more ranges (3 offsets)"
