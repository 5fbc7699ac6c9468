from hypothesis import given
from hypothesis import strategies as st
from ugc_etl.protocol import Ranges

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)
ENDS = st.integers(0, 35)


def offsets(ranges):
    return {offset for start, end in ranges.parts for offset in range(start, end)}


@given(SPANS)
def test_a_union_holds_what_its_parts_hold_in_sorted_separate_ranges(spans):
    ranges = Ranges.of(spans)
    assert offsets(ranges) == {o for s, e in spans for o in range(s, e)}
    flat = [bound for part in ranges.parts for bound in part]
    assert flat == sorted(set(flat))
    assert ranges.end == max(offsets(ranges), default=-1) + 1
    assert bool(ranges) == bool(offsets(ranges))


@given(SPANS, ENDS, ENDS)
def test_within_and_missing_divide_a_span(spans, start, end):
    ranges, span = Ranges.of(spans), set(range(start, end))
    assert offsets(ranges.within(start, end)) == offsets(ranges) & span
    assert offsets(ranges.missing(start, end)) == span - offsets(ranges)


@given(st.sets(st.integers(0, 30)), st.integers(0, 35))
def test_offsets_make_a_set(members, offset):
    ranges = Ranges.of_offsets(members)
    assert offsets(ranges) == members
    assert (offset in ranges) == (offset in members)
