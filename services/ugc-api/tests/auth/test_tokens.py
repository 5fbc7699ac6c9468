import json
import time
from collections.abc import Callable

import jwt
import pytest
from api_samples import SECRET, USER, settings, token
from signers import claims, jwk, jwks, pem, private, raw, signed
from ugc_api.auth import ForbiddenError, TokenVerifier, UnauthorizedError, build_verifier, following
from ugc_api.auth.following import LOOK_AGAIN_S, KeySource
from ugc_api.auth.jose import Key, jwks_keys, pem_keys, secret_key
from ugc_api.auth.keys import KeyRing, KeySet
from ugc_api.auth.tokens import (
    MAX_TOKEN_CHARS,
    MAX_TOKENS,
    REMEMBER_S,
    TokenMemory,
    TokenPolicy,
)

HS384_KEY = "a key as long as the hash of HS384 has to be: 48"
KEYS = KeySet([])


def verifier(audience: str = "", issuer: str = "", leeway_s: int = 0) -> TokenVerifier:
    return build_verifier(settings(jwt_audience=audience, jwt_issuer=issuer, jwt_leeway_s=leeway_s))


def trusting(*keys: Key, **policy: object) -> TokenVerifier:
    return TokenVerifier(KeyRing(keys), TokenPolicy(**policy))  # type: ignore[arg-type]


def unsigned() -> str:
    return raw(b'{"alg":"none","typ":"JWT"}', json.dumps(claims()).encode())


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
        (lambda: token(sub=f"{str(USER)[:-3]}a_b"), "not a UUID"),
        (lambda: token(sub="018f2b7a00007000-8000-00000000000a--"), "not a UUID"),
        (lambda: token() + "." + token(), "not valid"),
        (lambda: token() + "," + token(), "not valid"),
        (lambda: token(pad="x" * MAX_TOKEN_CHARS), "too long"),
        (lambda: raw(b'{"alg":"HS256"}', b"[" * 3000, SECRET.encode()), "not valid"),
        (
            lambda: raw(
                b'{"alg":"HS256","alg":"HS256"}', json.dumps(claims()).encode(), SECRET.encode()
            ),
            "not valid",
        ),
        (
            lambda: raw(
                b'{"alg":"HS256","crit":["x"],"x":1}',
                json.dumps(claims()).encode(),
                SECRET.encode(),
            ),
            "not valid",
        ),
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


@pytest.mark.parametrize(
    ("claim", "ahead_s"), [("nbf", 300), ("nbf", 30), ("iat", 300), ("iat", 30), ("exp", -300)]
)
def test_the_leeway_is_for_every_time_and_no_more(claim: str, ahead_s: int) -> None:
    skewed = f"Bearer {token(**{claim: int(time.time()) + ahead_s})}"
    with pytest.raises(UnauthorizedError):
        verifier(leeway_s=1 if abs(ahead_s) < 100 else 120).user_id(skewed)
    assert verifier(leeway_s=100 if abs(ahead_s) < 100 else 3600).user_id(skewed) == USER


NAMES = [
    "../../../../etc/passwd", "' OR 1=1 --", "http://127.0.0.1:1/", "\x00", "%00", "\u202e",
    "\ud800", "${jndi:ldap://x}", "k\r\nX: y", "a" * 1500, "",
]  # fmt: skip


@pytest.mark.parametrize("kid", NAMES)
def test_a_kid_is_a_name_and_nothing_else(kid: str) -> None:
    (named,) = jwks_keys(jwks(jwk(private("ES256"), "k")))
    readings: list[None] = []
    source = KeySource(name="S", read=lambda: readings.append(None) or [named], every_s=300)
    ring = KeyRing([secret_key(SECRET.encode())], [source])
    verify = TokenVerifier(ring, TokenPolicy()).user_id
    try:
        for _ in range(20):
            with pytest.raises(UnauthorizedError, match="not valid here"):
                verify(f"Bearer {signed('ES256', private('ES256'), kid)}")
        # A key without a name is not held to any.
        header = json.dumps({"alg": "HS256", "kid": kid}).encode()
        unnamed = raw(header, json.dumps(claims()).encode(), SECRET.encode())
        assert verify(f"Bearer {unnamed}") == USER
    finally:
        ring.close()
    assert len(readings) <= 1


@pytest.mark.parametrize(
    "around",
    ["{0},{0}", "{0} {0}", "{0},Bearer {0}", "{0}.x", ".{0}", "\xa0{0}", "{0}\x85", "{0}\xe9",
     "\x00{0}", "{0}\x00", '"{0}"', "{0}.{0}", "{0}\u2028"],
)  # fmt: skip
def test_a_token_is_one_token(around: str) -> None:
    with pytest.raises(UnauthorizedError):
        verifier().user_id("Bearer " + around.format(token()))


def test_a_token_is_remembered_for_a_minute() -> None:
    memory = TokenMemory()
    assert memory.recall(b"t", KEYS, 0) is None
    memory.keep(b"t", USER, KEYS, expires_s=1000, now_s=100)
    assert memory.recall(b"t", KEYS, 100 + REMEMBER_S - 1) == USER
    assert memory.recall(b"other", KEYS, 100) is None
    assert memory.recall(b"t", KEYS, 100 + REMEMBER_S) is None


def test_a_token_is_not_remembered_beyond_its_expiry() -> None:
    memory = TokenMemory()
    memory.keep(b"t", USER, KEYS, expires_s=110, now_s=100)
    assert memory.recall(b"t", KEYS, 109) == USER
    assert memory.recall(b"t", KEYS, 110) is None


def test_the_memory_is_bounded_and_keeps_the_newest_half() -> None:
    memory = TokenMemory()
    tokens = [b"%d" % n for n in range(2 * MAX_TOKENS)]
    for one in tokens:
        memory.keep(one, USER, KEYS, expires_s=1000, now_s=0)
    known = [memory.recall(one, KEYS, 1) is not None for one in tokens]
    assert sum(known) <= MAX_TOKENS
    assert all(known[-MAX_TOKENS // 2 :])


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


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_the_public_key_is_no_secret_to_sign_with(algorithm: str) -> None:
    public = pem(private(algorithm))
    both = trusting(secret_key(SECRET.encode()), *pem_keys(public))
    assert both.user_id(f"Bearer {signed(algorithm, private(algorithm))}") == USER
    for claimed in ("HS256", algorithm):
        header = json.dumps({"alg": claimed}).encode()
        forged = raw(header, json.dumps(claims()).encode(), public)
        with pytest.raises(UnauthorizedError):
            both.user_id(f"Bearer {forged}")


def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    (known,) = jwks_keys(jwks(jwk(private("ES256"), "k")))
    thief = private("ES256", "thief")
    for headers in (
        {"kid": "k", "jwk": jwk(thief, "k")},
        {"kid": "k", "jku": "http://127.0.0.1:1/jwks.json", "x5u": "http://127.0.0.1:1/"},
        {"jwk": jwk(thief, None)},
    ):
        forged = jwt.encode(claims(), thief, algorithm="ES256", headers=headers)
        with pytest.raises(UnauthorizedError):
            trusting(known).user_id(f"Bearer {forged}")


def test_an_algorithm_may_be_turned_off() -> None:
    keys = [secret_key(SECRET.encode()), *pem_keys(pem(private("EdDSA")))]
    strict = trusting(*keys, algorithms=("EdDSA",))
    assert strict.user_id(f"Bearer {signed('EdDSA', private('EdDSA'))}") == USER
    with pytest.raises(UnauthorizedError):
        strict.user_id(f"Bearer {token()}")


@pytest.mark.parametrize("scope", ["ugc:write", "openid ugc:write", ["ugc:write", 1]])
def test_a_scope_that_suffices(scope: object) -> None:
    strict = trusting(secret_key(SECRET.encode()), scope="ugc:write")
    assert strict.user_id(f"Bearer {token(scope=scope)}") == USER


@pytest.mark.parametrize(
    "scope", [None, "", "ugc:write2", "ugc", [["ugc:write"]], {"ugc:write": 1}, 5]
)
def test_a_scope_that_does_not_suffice_is_forbidden_every_time(scope: object) -> None:
    strict = trusting(secret_key(SECRET.encode()), scope="ugc:write")
    header = f"Bearer {token(scope=scope)}"
    for _ in range(2):
        with pytest.raises(ForbiddenError, match="lacks ugc:write") as caught:
            strict.user_id(header)
        assert caught.value.scope == "ugc:write"


def test_tokens_end_when_their_key_leaves_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "WAIT_S", 30.0)  # a machine may be busy
    known = {"keys": jwks_keys(jwks(jwk(private("ES256", "old"), "old")))}
    now_s = [1000.0]
    source = KeySource(name="SOURCE", read=lambda: known["keys"], every_s=300)
    ring = KeyRing((), [source], monotonic=lambda: now_s[0])
    verify = TokenVerifier(ring, TokenPolicy()).user_id
    old = f"Bearer {signed('ES256', private('ES256', 'old'), 'old')}"
    new = f"Bearer {signed('ES256', private('ES256', 'new'), 'new')}"
    try:
        now_s[0] += LOOK_AGAIN_S
        end = time.monotonic() + 30
        while ring.not_ready() and time.monotonic() < end:
            time.sleep(0.005)
        assert verify(old) == USER
        known["keys"] = jwks_keys(jwks(jwk(private("ES256", "new"), "new")))
        assert verify(old) == USER
        # The first token of the new key makes the ring look; no token of the old one is valid
        # from then on, though it has been remembered.
        now_s[0] += LOOK_AGAIN_S
        assert verify(new) == USER
        with pytest.raises(UnauthorizedError):
            verify(old)
    finally:
        ring.close()


def test_the_memory_belongs_to_the_keys() -> None:
    memory = TokenMemory()
    memory.keep(b"t", USER, KEYS, expires_s=1000, now_s=0)
    assert memory.recall(b"t", KEYS, 1) == USER
    assert memory.recall(b"t", KeySet([]), 1) is None
