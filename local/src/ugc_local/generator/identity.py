"""Ids from the seed: who, which film, which sitting, which event.

Each is a function of the seed and a number, so that any viewer can be made again alone. Event ids
never collide within a seed: their random part is a bijection of (viewer, serial).
"""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID

MAX_VIEWERS = 1 << 40
MAX_EVENTS_OF_A_VIEWER = 1 << 22

_MASK_62 = (1 << 62) - 1
_ODD = 0x2545F4914F6CDD1D & _MASK_62
"""Odd, so that multiplying by it modulo a power of two loses nothing."""


class Identities:
    """The ids of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._salt = int.from_bytes(blake2b(b"%d" % seed, digest_size=8).digest()) & _MASK_62

    def film(self, number: int) -> UUID:
        return self._uuid4("film", number)

    def viewer(self, number: int) -> UUID:
        return self._uuid4("viewer", number)

    def session(self, viewer: int, number: int) -> UUID:
        return self._uuid4(f"session/{viewer}", number)

    def event(self, viewer: int, serial: int, occurred_at_ms: int) -> str:
        """A UUIDv7 (RFC 9562) in text: the event's time, then a number that is its alone."""
        mixed = ((viewer << 22 | serial) * _ODD + self._salt) & _MASK_62
        top = occurred_at_ms << 16 | 0x7000 | mixed >> 50
        digits = f"{top:016x}{1 << 63 | mixed:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _uuid4(self, kind: str, number: int) -> UUID:
        digest = blake2b(f"{self._seed}/{kind}/{number}".encode(), digest_size=16).digest()
        return UUID(bytes=digest, version=4)
