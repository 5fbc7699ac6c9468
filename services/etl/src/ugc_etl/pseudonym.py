"""The name under which marts and analysts know a viewer."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64


def viewers(user_ids: npt.NDArray[np.uint8], key: bytes) -> npt.NDArray[np.uint64]:
    """The pseudonym of each user: BLAKE2b-64, keyed, read as a little-endian number.

    Args:
        user_ids: (users, 16), in RFC 9562 order. Equal ones are computed once.
        key: 16 to 64 bytes. Whoever has it can find a user's pseudonym, nobody else can.
    """
    known = _Pseudonyms(key)
    each = np.ascontiguousarray(user_ids).view("V16")[:, 0].tolist()
    return np.fromiter(map(known.__getitem__, each), np.dtype("<u8"), len(each))


class _Pseudonyms(dict[bytes, int]):
    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._keyed = blake2b(digest_size=8, key=key)

    def __missing__(self, user_id: bytes) -> int:
        hashed = self._keyed.copy()
        hashed.update(user_id)
        self[user_id] = pseudonym = int.from_bytes(hashed.digest(), "little")
        return pseudonym
