"""Keys as an issuer has them, and tokens signed with them."""

import base64
import hashlib
import hmac
import json
import time
from functools import cache
from typing import Any

import jwt
from api_samples import USER
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def private(algorithm: str, name: str = "") -> Private:
    """A key; the same for the same name."""
    del name
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: Private) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Private, kid: str | None, **changes: Any) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        entry = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        entry = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        entry = OKPAlgorithm.to_jwk(public, as_dict=True)
    named = {} if kid is None else {"kid": kid}
    return entry | named | {"use": "sig"} | changes


def jwks(*entries: Any) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    given = {"sub": str(USER), "exp": int(time.time()) + 600} | changes
    return {name: value for name, value in given.items() if value is not None}


def signed(algorithm: str, key: Private, kid: str | None = None, **changes: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def raw(header: bytes, payload: bytes, secret: bytes = b"") -> str:
    """A token of any bytes whatever, with the HMAC of `secret`."""

    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    signing = part(header) + b"." + part(payload)
    signature = hmac.digest(secret, signing, hashlib.sha256) if secret else b""
    return (signing + b"." + part(signature)).decode()
