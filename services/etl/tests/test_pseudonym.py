from hashlib import blake2b
from uuid import UUID

from ugc_etl.pseudonym import viewers

KEY = b"a key of sixteen or more"


def test_a_viewer_is_the_keyed_hash_of_the_user_read_little_endian():
    first, second = UUID(int=1).bytes, UUID(int=2).bytes
    found = viewers([first, second, first], KEY)
    assert found.tolist() == [
        int.from_bytes(blake2b(user, digest_size=8, key=KEY).digest(), "little")
        for user in (first, second, first)
    ]
    assert viewers([first], b"another key of sixteen").tolist() != found[:1].tolist()
    assert viewers([], KEY).tolist() == []
