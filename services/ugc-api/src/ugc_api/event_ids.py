"""Identifiers for events that came without one."""

from uuid import UUID

RANDOM_BITS = 74


def uuid7(now_ms: int, random_bits: int) -> UUID:
    """A UUID of version 7 (RFC 9562, section 5.7).

    Args:
        now_ms: ms since the epoch; ids sort by it.
        random_bits: a random number of RANDOM_BITS bits.
    """
    high, low = random_bits >> 62, random_bits & (1 << 62) - 1
    return UUID(int=now_ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
