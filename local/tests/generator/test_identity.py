from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from ugc_local.generator.identity import MAX_EVENTS_OF_A_VIEWER, MAX_VIEWERS, Identities

viewers = st.integers(0, MAX_VIEWERS - 1)
serials = st.integers(0, MAX_EVENTS_OF_A_VIEWER - 1)
times_ms = st.integers(1_577_836_800_000, 4_102_444_800_000)


@given(st.integers(0), viewers, serials, times_ms)
def test_an_event_id_is_a_uuid_of_version_7(
    seed: int, viewer: int, serial: int, at_ms: int
) -> None:
    text = Identities(seed).event(viewer, serial, at_ms)
    parsed = UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (7, "specified in RFC 4122")
    assert parsed.int >> 80 == at_ms


@given(st.integers(0), st.tuples(viewers, serials), st.tuples(viewers, serials), times_ms)
def test_events_of_one_moment_have_different_ids(
    seed: int, one: tuple[int, int], other: tuple[int, int], at_ms: int
) -> None:
    ids = Identities(seed)
    assert (ids.event(*one, at_ms) == ids.event(*other, at_ms)) == (one == other)


def test_ids_of_different_kinds_and_seeds_differ() -> None:
    found = set()
    for seed in (1, 2):
        ids = Identities(seed)
        found |= {ids.film(0), ids.viewer(0), ids.session(0, 0), ids.session(0, 1), ids.film(1)}
    assert len(found) == 10
    assert {uuid.version for uuid in found} == {4}
