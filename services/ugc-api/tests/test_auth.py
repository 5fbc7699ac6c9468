import base64
import json
import time

import pytest
from api_samples import SECRET, USER, token
from ugc_api.auth import TokenVerifier, UnauthorizedError
from ugc_settings import Secret


def verifier(audience: str = "", issuer: str = "", leeway_s: int = 0) -> TokenVerifier:
    return TokenVerifier(Secret(SECRET), audience=audience, issuer=issuer, leeway_s=leeway_s)


def unsigned() -> str:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"sub": str(USER), "exp": int(time.time()) + 600}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def test_the_viewer_is_the_tokens_subject() -> None:
    assert verifier().user_id(f"Bearer {token()}") == USER
    assert verifier().user_id(f"bearer  {token()}") == USER


@pytest.mark.parametrize("header", [None, ""])
def test_without_a_token_no_error_is_named(header: str | None) -> None:
    with pytest.raises(UnauthorizedError) as caught:
        verifier().user_id(header)
    assert caught.value.error == ""


@pytest.mark.parametrize("header", ["Basic dTpw", "Bearer", "Bearer ", "token"])
def test_another_scheme_is_an_invalid_request(header: str) -> None:
    with pytest.raises(UnauthorizedError) as caught:
        verifier().user_id(header)
    assert caught.value.error == "invalid_request"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (token(exp=int(time.time()) - 60), "expired"),
        (token(exp=None), "not valid"),
        (token(sub=None), "not valid"),
        (token(nbf=int(time.time()) + 600), "not valid"),
        (token(key="another key that is long enough too"), "not valid"),
        (token(key="a key as long as the hash of HS384 has to be: 48", algorithm="HS384"), "valid"),
        (unsigned(), "not valid"),
        (token()[:-2], "not valid"),
        ("garbage", "not valid"),
        (token(sub="somebody"), "not a UUID"),
        (token(sub="x" * 36), "not a UUID"),
        (token(sub=USER.hex), "not a UUID"),
        (token(sub=f"{{{USER}}}"), "not a UUID"),
    ],
)
def test_a_token_that_is_not_valid(bad: str, message: str) -> None:
    with pytest.raises(UnauthorizedError, match=message) as caught:
        verifier().user_id(f"Bearer {bad}")
    assert caught.value.error == "invalid_token"


def test_a_clock_may_differ_by_the_leeway() -> None:
    just_expired = f"Bearer {token(exp=int(time.time()) - 5)}"
    assert verifier(leeway_s=60).user_id(just_expired) == USER
    with pytest.raises(UnauthorizedError):
        verifier().user_id(just_expired)


def test_audience_and_issuer_count_where_they_are_expected() -> None:
    good = f"Bearer {token(aud=['ugc', 'other'], iss='auth')}"
    strict = verifier(audience="ugc", issuer="auth")
    assert strict.user_id(good) == USER
    assert verifier().user_id(good) == USER
    for bad in (token(), token(aud="other", iss="auth"), token(aud="ugc", iss="other")):
        with pytest.raises(UnauthorizedError):
            strict.user_id(f"Bearer {bad}")
