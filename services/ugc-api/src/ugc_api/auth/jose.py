"""Signatures and the two formats of keys; the one module here that imports the JWT library.

A key is bound to one algorithm by what the key is, so the `alg` of a token chooses nothing: it
has to be the key's (RFC 8725, section 3.1). A public key can never become an HMAC secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from ugc_api.settings import MIN_SECRET_BYTES

SHARED = "HS256"
ALGORITHMS = (SHARED, "RS256", "ES256", "EdDSA")
MIN_RSA_BITS = 2048
"""RFC 7518, section 3.3."""
MAX_HEADER_CHARS = 2048
MAX_KEYS = 64
MAX_UNNAMED = 4
"""Of one file: each may have signed any token, so all are tried. Old, present, next, and one."""
_HEADERS = 128
"""Remembered: the tokens of one key have the same header."""

_PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
# The public members of each kind of key; a private one that was published by mistake is dropped.
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PEM = re.compile(rb"-----BEGIN [A-Z ]*PUBLIC KEY-----.*?-----END [A-Z ]*PUBLIC KEY-----", re.S)


class KeyMaterialError(ValueError):
    """The keys cannot be used; the message says why and holds nothing of them."""


class BadTokenError(ValueError):
    """The token is not valid.

    Attributes:
        expired: it was, once.
    """

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.expired = expired


class Key(NamedTuple):
    """What verifies one algorithm's signatures.

    Attributes:
        kid: the name that the issuer gave it; None of a key from a secret or a PEM file.
        algorithm: one of ALGORITHMS.
        material: in the form of the JWT library.
        identity: equal for equal keys; holds no secret.
    """

    kid: str | None
    algorithm: str
    material: jwt.PyJWK | _PublicKey
    identity: tuple[object, ...]

    def __repr__(self) -> str:
        return f"Key({self.kid!r}, {self.algorithm})"


class Header(NamedTuple):
    """What is looked at of a token's header; `jku`, `jwk`, `x5u`, `x5c` never are."""

    algorithm: str
    kid: str | None


class _CheckedHmac(HMACAlgorithm):
    """HS256 with a key that was looked at once; the library looks at it for each token.

    It tries each time to read the secret as every kind of public key and as JSON: half of what
    verifying a token costs.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        """See the library."""
        return key.encode() if isinstance(key, str) else key


def secret_key(secret: bytes, kid: str | None = None) -> Key:
    """A key of HS256. Raises KeyMaterialError where it is short or a key of another kind."""
    if len(secret) < MIN_SECRET_BYTES:
        raise KeyMaterialError(f"a secret of less than {MIN_SECRET_BYTES} bytes")
    try:
        checked = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError as error:
        raise KeyMaterialError("not a secret but a key of another kind") from error
    text = base64.urlsafe_b64encode(checked).rstrip(b"=").decode()
    material = jwt.PyJWK({"kty": "oct", "k": text}, SHARED)
    material.Algorithm = _CheckedHmac(_CheckedHmac.SHA256)
    return Key(kid, SHARED, material, (kid, SHARED, hashlib.sha256(secret).digest()))


def secret_keys(text: bytes) -> list[Key]:
    """The keys of HS256 in a file: one secret a line, or a JSON Web Key Set of kind `oct`.

    Blanks around a line are not part of its secret. Raises KeyMaterialError where any of the keys
    cannot be used: a file half written or mistyped is no new set of keys.
    """
    if text.lstrip().startswith(b"{"):
        keys = [_shared_jwk(entry) for entry in _entries(text)]
    else:
        lines = [line.strip() for line in text.splitlines()]
        keys = [secret_key(line) for line in lines if line]
    return _few(keys)


def pem_keys(pem: bytes) -> list[Key]:
    """The public keys of a PEM file, one or several. Raises KeyMaterialError."""
    if b"PRIVATE KEY" in pem:
        raise KeyMaterialError("a private key; this service needs the public one only")
    blocks = _PEM.findall(pem)
    if pem.count(b"-----BEGIN") != len(blocks):
        raise KeyMaterialError("not a public key in PEM, or half of one")
    try:
        public = [load_pem_public_key(block) for block in blocks]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyMaterialError("not a public key in PEM") from error
    return _few([_public_key(None, key) for key in public])


def jwks_keys(document: bytes) -> list[Key]:
    """The usable keys of a JSON Web Key Set (RFC 7517); unknown ones are passed over.

    Keys for encryption, shared secrets and unsupported kinds are not usable. Raises
    KeyMaterialError where the document is not a key set or no key of it is usable.
    """
    keys = []
    refusals = []
    for entry in _entries(document):
        try:
            keys.append(_jwk(entry))
        except KeyMaterialError as error:
            refusals.append(str(error))
    if not keys:
        raise KeyMaterialError("no usable key in the set: " + "; ".join(refusals[:3] or ["empty"]))
    return keys


def read_header(token: str) -> Header:
    """The header of a token that nobody has verified yet. Raises BadTokenError."""
    part, dot, _ = token.partition(".")
    if not dot or len(part) > MAX_HEADER_CHARS:
        raise BadTokenError("not a JWT")
    return _header(part)


@lru_cache(_HEADERS)
def _header(part: str) -> Header:
    try:
        text = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        header = json.loads(text, object_pairs_hook=_unique)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadTokenError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise BadTokenError("the header is not an object")
    if "crit" in header or "b64" in header:
        raise BadTokenError("the header asks for an extension")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None):
        raise BadTokenError("alg or kid is not a text")
    return Header(algorithm, kid)


def claims_of(
    token: str, key: Key, *, audience: str | None, issuer: str | None, leeway_s: int
) -> dict[str, Any]:
    """The claims of a token that `key` has signed; `exp` and `sub` are in it, times are right.

    Raises BadTokenError.
    """
    try:
        return jwt.decode(
            token,
            key.material,
            algorithms=[key.algorithm],
            audience=audience,
            issuer=issuer,
            leeway=leeway_s,
            options={
                "require": ["exp", "sub"],
                "verify_aud": audience is not None,
                "verify_iss": issuer is not None,
            },
        )
    except jwt.ExpiredSignatureError as error:
        raise BadTokenError("expired", expired=True) from error
    except (jwt.PyJWTError, RecursionError) as error:
        raise BadTokenError("not valid") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _entries(document: bytes) -> list[Any]:
    """The first MAX_KEYS entries of a JSON Web Key Set (RFC 7517)."""
    try:
        entries = json.loads(document)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyMaterialError("not a JSON Web Key Set") from error
    if not isinstance(entries, list):
        raise KeyMaterialError("not a JSON Web Key Set")
    return entries[:MAX_KEYS]


def _few(keys: list[Key]) -> list[Key]:
    """The keys of a file that is the operator's own."""
    if not keys:
        raise KeyMaterialError("no key in it")
    if sum(key.kid is None for key in keys) > MAX_UNNAMED:
        raise KeyMaterialError(f"more than {MAX_UNNAMED} keys without a name")
    return keys


def _kid(entry: object) -> tuple[Mapping[str, Any], str | None]:
    """An entry that may verify signatures, and its name."""
    if not isinstance(entry, Mapping):
        raise KeyMaterialError("an entry is not an object")
    kid, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    able = isinstance(operations, list) and "verify" in operations
    if entry.get("use", "sig") != "sig" or not able:
        raise KeyMaterialError("not for signatures")
    if not isinstance(kid, str | None):
        raise KeyMaterialError("kid is not a text")
    return entry, kid


def _shared_jwk(given: object) -> Key:
    entry, kid = _kid(given)
    if entry.get("kty") != "oct" or entry.get("alg", SHARED) != SHARED:
        raise KeyMaterialError(f"not a key of {SHARED}")
    text = entry.get("k")
    if not isinstance(text, str):
        raise KeyMaterialError("k is not a text")
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyMaterialError("k is not base64url") from error
    return secret_key(secret, kid)


def _jwk(given: object) -> Key:
    entry, kid = _kid(given)
    kind = entry.get("kty")
    members = _MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None:
        raise KeyMaterialError("kty is not RSA, EC or OKP")
    public = {"kty": kind} | {name: entry.get(name) for name in members}
    try:
        loaded = jwt.PyJWK(public, _algorithm_named(public)).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise KeyMaterialError(f"a {kind} key that cannot be read") from error
    key = _public_key(kid, loaded)
    if entry.get("alg", key.algorithm) != key.algorithm:
        raise KeyMaterialError(f"alg is not {key.algorithm}, which is what is supported of {kind}")
    return key


def _algorithm_named(public: Mapping[str, object]) -> str:
    return {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[str(public["kty"])]


def _public_key(kid: str | None, public: object) -> Key:
    if isinstance(public, RSAPublicKey):
        if public.key_size < MIN_RSA_BITS:
            raise KeyMaterialError(f"an RSA key of less than {MIN_RSA_BITS} bits")
        numbers = public.public_numbers()
        return Key(kid, "RS256", public, (kid, "RS256", numbers.n, numbers.e))
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        point = public.public_numbers()
        return Key(kid, "ES256", public, (kid, "ES256", point.x, point.y))
    if isinstance(public, Ed25519PublicKey):
        return Key(kid, "EdDSA", public, (kid, "EdDSA", public.public_bytes_raw()))
    raise KeyMaterialError("the curve is not P-256 or Ed25519")
