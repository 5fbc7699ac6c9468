"""The name under which marts and analysts know a viewer."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64


def viewers(user_ids: Sequence[bytes], key: bytes) -> npt.NDArray[np.uint64]:
    """The pseudonym of each user: BLAKE2b-64, keyed, read as a little-endian number.

    Args:
        user_ids: 16 bytes each, in RFC 9562 order. Equal ones are computed once.
        key: 16 to 64 bytes. Whoever has it can find a user's pseudonym, nobody else can.
    """
    known: dict[bytes, int] = {}
    for user_id in user_ids:
        if user_id not in known:
            digest = blake2b(user_id, digest_size=8, key=key).digest()
            known[user_id] = int.from_bytes(digest, "little")
    return np.fromiter((known[user_id] for user_id in user_ids), np.dtype("<u8"), len(user_ids))
