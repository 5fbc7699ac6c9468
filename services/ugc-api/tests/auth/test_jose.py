import base64
import json
from typing import Any

import pytest
from api_samples import SECRET, USER
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from signers import claims, jwk, jwks, pem, private, raw, signed
from ugc_api.auth.jose import (
    MAX_KEYS,
    MAX_UNNAMED,
    BadTokenError,
    Header,
    Key,
    KeyMaterialError,
    claims_of,
    jwks_keys,
    pem_keys,
    read_header,
    secret_key,
    secret_keys,
)

PUBLIC = ("RS256", "ES256", "EdDSA")


def check(token: str, key: Key, leeway_s: int = 0) -> dict[str, Any]:
    return claims_of(token, key, audience=None, issuer=None, leeway_s=leeway_s)


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_pem_file_and_a_key_set_give_the_same_key(algorithm: str) -> None:
    issuer = private(algorithm)
    (from_file,) = pem_keys(pem(issuer))
    (from_set,) = jwks_keys(jwks(jwk(issuer, "k1")))
    assert from_file.algorithm == from_set.algorithm == algorithm
    assert (from_file.kid, from_set.kid) == (None, "k1")
    for key in (from_file, from_set):
        assert check(signed(algorithm, issuer), key)["sub"] == str(USER)
        with pytest.raises(BadTokenError):
            check(signed(algorithm, private(algorithm, "another")), key)


@pytest.mark.parametrize("algorithm", PUBLIC)
@pytest.mark.parametrize("claimed", ["HS256", "RS256", "ES256", "EdDSA", "none"])
def test_a_key_verifies_only_its_own_algorithm(algorithm: str, claimed: str) -> None:
    (key,) = pem_keys(pem(private(algorithm)))
    header = json.dumps({"alg": claimed, "typ": "JWT"}).encode()
    # The attack on libraries that let the token choose: the public key as an HMAC secret.
    forged = raw(header, json.dumps(claims()).encode(), pem(private(algorithm)))
    with pytest.raises(BadTokenError):
        check(forged, key)


def test_without_a_signature_nothing_is_valid() -> None:
    for header in (b'{"alg":"none"}', b'{"alg":"None"}', b'{"alg":"HS256"}'):
        with pytest.raises(BadTokenError):
            check(raw(header, json.dumps(claims()).encode()), secret_key(SECRET.encode()))


@pytest.mark.parametrize(
    "entry",
    [
        "text",
        {},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
        {"kty": ["RSA"]},
        {"kty": "RSA", "n": "AQAB"},
        {"kty": "RSA", "n": 1, "e": []},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        jwk(private("ES256"), "k", use="enc"),
        jwk(private("ES256"), "k", key_ops=["sign"]),
        jwk(private("ES256"), "k") | {"key_ops": None},
        jwk(private("ES256"), "k") | {"key_ops": 1},
        jwk(private("ES256"), "k", alg="ES512"),
        jwk(private("ES256"), "k", x="AA"),
        jwk(private("ES256"), None) | {"kid": 1},
        jwk(ec.generate_private_key(ec.SECP384R1()), "k"),
        jwk(rsa.generate_private_key(65537, 1024), "k"),  # noqa: S505  # to be refused
    ],
)
def test_an_unusable_key_is_passed_over(entry: Any) -> None:
    good = jwk(private("EdDSA"), "good")
    (key,) = jwks_keys(jwks(entry, good))
    assert key.kid == "good"
    with pytest.raises(KeyMaterialError, match="no usable key"):
        jwks_keys(jwks(entry))


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b"[" * 100_000]
)
def test_what_is_no_key_set_is_told(document: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        jwks_keys(document)


def test_of_a_huge_set_the_first_keys_are_taken() -> None:
    one = jwk(private("EdDSA"), "k")
    assert len(jwks_keys(jwks(*[one] * (MAX_KEYS + 1)))) == MAX_KEYS


def test_a_private_key_in_a_set_is_used_as_the_public_one() -> None:
    entry = jwk(private("RS256"), "k") | {"d": "AQAB", "p": "AQAB"}
    (key,) = jwks_keys(jwks(entry))
    assert check(signed("RS256", private("RS256")), key)["sub"] == str(USER)


def test_a_private_pem_file_is_refused() -> None:
    text = private("EdDSA").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for wrong in (text, b"", b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(KeyMaterialError):
            pem_keys(wrong)


def test_a_pem_file_may_hold_several_keys() -> None:
    old, new = private("RS256", "old"), private("EdDSA", "new")
    keys = pem_keys(b"the old one\n" + pem(old) + b"\n" + pem(new))
    assert [key.algorithm for key in keys] == ["RS256", "EdDSA"]
    assert check(signed("EdDSA", new), keys[1])["sub"] == str(USER)
    with pytest.raises(KeyMaterialError, match="not a public key"):
        pem_keys(pem(old) + b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n")
    with pytest.raises(KeyMaterialError, match="half of one"):
        pem_keys(pem(new) + pem(old)[:-10])
    with pytest.raises(KeyMaterialError, match="without a name"):
        pem_keys(pem(new) * (MAX_UNNAMED + 1))


def k(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


OLD, NEW = b"o" * 32, b"n" * 33 + b"\xff\xfe"


def test_a_file_of_secrets_has_one_a_line() -> None:
    keys = secret_keys(b"\n" + OLD + b"\r\n  " + NEW + b"\t\n\n")
    assert [(key.kid, key.algorithm) for key in keys] == [(None, "HS256")] * 2
    for secret, key in zip((OLD, NEW), keys, strict=True):
        token = raw(b'{"alg":"HS256"}', json.dumps(claims()).encode(), secret)
        assert check(token, key)["sub"] == str(USER)
        with pytest.raises(BadTokenError):
            check(token, keys[key is keys[0]])


def test_a_file_of_secrets_may_be_a_key_set_with_names() -> None:
    entry = {"kty": "oct", "kid": "new", "k": k(NEW)}
    keys = secret_keys(b" \n" + jwks({"kty": "oct", "k": k(OLD), "alg": "HS256"}, entry))
    assert [key.kid for key in keys] == [None, "new"]
    token = raw(b'{"alg":"HS256","kid":"new"}', json.dumps(claims()).encode(), NEW)
    assert check(token, keys[1])["sub"] == str(USER)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no key"),
        (b" \n\n", "no key"),
        (OLD + b"\nshort", "less than 32 bytes"),
        (pem(private("RS256")), "less than 32 bytes"),
        (pem(private("RS256")).replace(b"\n", b" "), "another kind"),
        (b"\n".join(b"%032d" % n for n in range(MAX_UNNAMED + 1)), "more than 4"),
        (b"{" + OLD, "not a JSON Web Key Set"),
        (jwks(), "no key"),
        (jwks({"kty": "oct", "k": k(b"short")}), "less than 32 bytes"),
        (jwks({"kty": "oct", "k": "c2Vj cmV0" * 8}), "not base64url"),
        (jwks({"kty": "oct", "k": "\u00e9" * 50}), "not base64url"),
        (jwks({"kty": "oct", "k": 1}), "not a text"),
        (jwks({"kty": "oct"}), "not a text"),
        (jwks({"kty": "oct", "k": k(OLD), "alg": "HS512"}), "not a key of HS256"),
        (jwks({"kty": "oct", "k": k(OLD), "use": "enc"}), "not for signatures"),
        (jwks({"kty": "oct", "k": k(OLD)}, jwk(private("ES256"), "e")), "not a key of HS256"),
    ],
)
def test_a_file_of_secrets_is_refused_whole(text: bytes, why: str) -> None:
    with pytest.raises(KeyMaterialError, match=why) as caught:
        secret_keys(text)
    assert OLD.decode() not in str(caught.value)


def test_a_key_shows_nothing_of_itself() -> None:
    assert SECRET not in repr(secret_key(SECRET.encode()))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b'{"alg":"HS256","alg":"none"}',
        b'{"alg":["HS256"]}',
        b'{"kid":"k"}',
        b'{"alg":"HS256","kid":{}}',
        b'{"alg":"HS256","crit":["exp"],"exp":1}',
        b'{"alg":"HS256","crit":[]}',
        b'{"alg":"HS256","b64":false,"crit":["b64"]}',
        b'{"alg":"HS256","x":' + b"[" * 1400 + b"}",
        b'{"alg":"HS256","x":"' + b"x" * 3000 + b'"}',
    ],
)
def test_a_header_that_is_refused(header: bytes) -> None:
    with pytest.raises(BadTokenError):
        read_header(raw(header, b"{}", b"any"))


def test_addresses_and_keys_in_a_header_are_not_looked_at() -> None:
    fields = {
        "alg": "ES256", "kid": "k", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/",
        "jwk": jwk(private("ES256"), "k"), "x5c": ["AA=="],
    }  # fmt: skip
    header = json.dumps(fields).encode()
    assert read_header(raw(header, b"{}")) == Header("ES256", "k")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 2000 + b"]" * 2000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        json.dumps(claims(exp="soon")).encode(),
        json.dumps(claims(exp=[])).encode(),
        json.dumps(claims(exp=float("inf"))).encode(),
        json.dumps(claims(exp=float("nan"))).encode(),
        json.dumps(claims(exp=-1)).encode(),
        json.dumps(claims(nbf="x")).encode(),
        json.dumps(claims(iat={})).encode(),
        json.dumps(claims(iat=10**12)).encode(),
        json.dumps(claims(sub=1)).encode(),
        json.dumps(claims(sub=["x"])).encode(),
    ],
)
def test_claims_that_break_their_types_are_no_claims(payload: bytes) -> None:
    token = raw(b'{"alg":"HS256"}', payload, SECRET.encode())
    with pytest.raises(BadTokenError):
        check(token, secret_key(SECRET.encode()))


def test_who_expired_is_told_apart() -> None:
    key = secret_key(SECRET.encode())
    token = raw(b'{"alg":"HS256"}', json.dumps(claims(exp=1)).encode(), SECRET.encode())
    with pytest.raises(BadTokenError) as caught:
        check(token, key)
    assert caught.value.expired
