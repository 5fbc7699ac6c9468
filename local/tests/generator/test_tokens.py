from uuid import UUID

import jwt
import pytest
from ugc_local.generator import token_minter

SECRET = "a secret of the tests, 32 bytes or more"
NOW_S = 4_000_000_000
VIEWER = UUID(int=7)


def test_a_token_names_its_viewer() -> None:
    token = token_minter(SECRET, issued_at_s=NOW_S, lifetime_s=60)(VIEWER)
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_iat": False})
    assert claims == {"sub": str(VIEWER), "iat": NOW_S, "exp": NOW_S + 60}


def test_another_secret_does_not_take_it() -> None:
    token = token_minter(SECRET, issued_at_s=NOW_S)(VIEWER)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET[::-1], algorithms=["HS256"])
