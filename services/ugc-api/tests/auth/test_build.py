import time
from pathlib import Path

import pytest
from api_samples import SECRET, USER, settings, token
from signers import jwk, jwks, pem, private, signed
from ugc_api.auth import TokenVerifier, UnauthorizedError, build_verifier
from ugc_settings import Secret


def ready(verifier: TokenVerifier) -> TokenVerifier:
    end = time.monotonic() + 10
    while verifier.not_ready():
        assert time.monotonic() < end, verifier.not_ready()
        time.sleep(0.005)
    return verifier


def test_a_secret_is_enough() -> None:
    assert build_verifier(settings()).user_id(f"Bearer {token()}") == USER


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("given", ["jwt_public_key_file", "jwt_jwks"])
def test_keys_come_from_a_file(tmp_path: Path, algorithm: str, given: str) -> None:
    issuer = private(algorithm)
    path = tmp_path / "keys"
    path.write_bytes(pem(issuer) if given == "jwt_public_key_file" else jwks(jwk(issuer, "k")))
    verifier = ready(build_verifier(settings(jwt_secret=Secret(), **{given: str(path)})))
    try:
        assert verifier.user_id(f"Bearer {signed(algorithm, issuer, 'k')}") == USER
        with pytest.raises(UnauthorizedError):
            verifier.user_id(f"Bearer {token()}")
    finally:
        verifier.close()


def test_without_its_file_it_is_not_ready_and_refuses(tmp_path: Path) -> None:
    given = settings(jwt_secret=Secret(), jwt_jwks=str(tmp_path / "none"))
    verifier = build_verifier(given)
    try:
        assert verifier.not_ready() is not None
        with pytest.raises(UnauthorizedError):
            verifier.user_id(f"Bearer {signed('ES256', private('ES256'), 'k')}")
    finally:
        verifier.close()


def test_settings_become_the_policy() -> None:
    given = settings(
        jwt_audience="ugc", jwt_issuer="i", jwt_scope="w", jwt_algorithms="HS256", jwt_leeway_s=60
    )
    good = {"aud": "ugc", "iss": "i", "scope": "w", "exp": int(time.time()) - 5}
    verifier = build_verifier(given)
    assert verifier.user_id(f"Bearer {token(**good)}") == USER
    for wrong in ({"aud": "x"}, {"iss": "x"}, {"exp": 1}):
        with pytest.raises(UnauthorizedError):
            verifier.user_id(f"Bearer {token(**(good | wrong))}")
    assert SECRET not in repr(given)
