from hashlib import blake2b
from uuid import UUID

import numpy as np
from ugc_etl.pseudonym import viewers

KEY = b"a key of sixteen or more"


def test_a_viewer_is_the_keyed_hash_of_the_user_read_little_endian():
    first, second = UUID(int=1).bytes, UUID(int=2 << 120).bytes
    users = np.frombuffer(first + second + first, np.uint8).reshape(3, 16)
    found = viewers(users, KEY)
    assert found.tolist() == [
        int.from_bytes(blake2b(user, digest_size=8, key=KEY).digest(), "little")
        for user in (first, second, first)
    ]
    assert viewers(users[:1], b"another key of sixteen").tolist() != found[:1].tolist()
    assert viewers(users[:0], KEY).tolist() == []
