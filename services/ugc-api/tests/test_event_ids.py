from hypothesis import given
from hypothesis import strategies as st
from ugc_api.event_ids import RANDOM_BITS, uuid7

times = st.integers(0, 2**48 - 1)
randoms = st.integers(0, 2**RANDOM_BITS - 1)


@given(times, randoms)
def test_it_is_a_uuid_of_version_7_that_holds_the_time(now_ms: int, random_bits: int) -> None:
    made = uuid7(now_ms, random_bits)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == now_ms


@given(times, randoms, randoms)
def test_different_random_bits_make_different_ids(now_ms: int, one: int, other: int) -> None:
    assert (uuid7(now_ms, one) == uuid7(now_ms, other)) == (one == other)


def test_the_example_of_the_rfc() -> None:
    # RFC 9562, appendix A.6.
    random_bits = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    assert str(uuid7(0x017F22E279B0, random_bits)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
