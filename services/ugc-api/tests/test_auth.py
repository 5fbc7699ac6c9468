import base64
import json
import time
from collections.abc import Callable

import pytest
from api_samples import SECRET, USER, token
from ugc_api.auth import (
    MAX_TOKENS,
    REMEMBER_S,
    TokenMemory,
    TokenVerifier,
    UnauthorizedError,
)
from ugc_settings import Secret

HS384_KEY = "a key as long as the hash of HS384 has to be: 48"


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
        # Made when the test runs, not when it is collected: tokens expire.
        (lambda: token(exp=int(time.time()) - 60), "expired"),
        (lambda: token(exp=None), "not valid"),
        (lambda: token(sub=None), "not valid"),
        (lambda: token(nbf=int(time.time()) + 600), "not valid"),
        (lambda: token(key="another key that is long enough too"), "not valid"),
        (lambda: token(key=HS384_KEY, algorithm="HS384"), "not valid"),
        (unsigned, "not valid"),
        (lambda: token()[:-2], "not valid"),
        (lambda: "garbage", "not valid"),
        (lambda: token(sub="somebody"), "not a UUID"),
        (lambda: token(sub="x" * 36), "not a UUID"),
        (lambda: token(sub=USER.hex), "not a UUID"),
        (lambda: token(sub=f"{{{USER}}}"), "not a UUID"),
    ],
)
def test_a_token_that_is_not_valid(bad: Callable[[], str], message: str) -> None:
    with pytest.raises(UnauthorizedError, match=message) as caught:
        verifier().user_id(f"Bearer {bad()}")
    assert caught.value.error == "invalid_token"


def test_a_clock_may_differ_by_the_leeway() -> None:
    just_expired = f"Bearer {token(exp=int(time.time()) - 5)}"
    assert verifier(leeway_s=60).user_id(just_expired) == USER
    with pytest.raises(UnauthorizedError):
        verifier().user_id(just_expired)


def test_a_token_is_remembered_for_a_minute() -> None:
    memory = TokenMemory()
    assert memory.recall("t", 0) is None
    memory.keep("t", USER, expires_s=1000, now_s=100)
    assert memory.recall("t", 100 + REMEMBER_S - 1) == USER
    assert memory.recall("other", 100) is None
    assert memory.recall("t", 100 + REMEMBER_S) is None


def test_a_token_is_not_remembered_beyond_its_expiry() -> None:
    memory = TokenMemory()
    memory.keep("t", USER, expires_s=110, now_s=100)
    assert memory.recall("t", 109) == USER
    assert memory.recall("t", 110) is None


def test_the_memory_is_bounded_and_keeps_the_newest() -> None:
    memory = TokenMemory()
    for n in range(MAX_TOKENS + 1):
        memory.keep(str(n), USER, expires_s=1000, now_s=0)
    assert memory.recall(str(MAX_TOKENS), 1) == USER
    assert sum(memory.recall(str(n), 1) is not None for n in range(MAX_TOKENS + 1)) <= MAX_TOKENS


def test_what_is_refused_once_is_refused_again() -> None:
    one = verifier()
    bad = f"Bearer {token(exp=1)}"
    for _ in range(2):
        with pytest.raises(UnauthorizedError):
            one.user_id(bad)


def test_audience_and_issuer_count_where_they_are_expected() -> None:
    good = f"Bearer {token(aud=['ugc', 'other'], iss='auth')}"
    strict = verifier(audience="ugc", issuer="auth")
    assert strict.user_id(good) == USER
    assert verifier().user_id(good) == USER
    for bad in (token(), token(aud="other", iss="auth"), token(aud="ugc", iss="other")):
        with pytest.raises(UnauthorizedError):
            strict.user_id(f"Bearer {bad}")
