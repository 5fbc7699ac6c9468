import time
from collections.abc import Callable
from pathlib import Path

import pytest
from api_samples import SECRET, USER, settings, token
from signers import jwk, jwks, pem, private, signed
from ugc_api.auth import TokenVerifier, UnauthorizedError, build_verifier
from ugc_settings import Secret


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def ready(verifier: TokenVerifier) -> TokenVerifier:
    until(lambda: verifier.not_ready() is None)
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


def test_secrets_come_from_a_file_and_their_readings_are_told(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    told: list[tuple[str, bool]] = []
    verifier = build_verifier(
        settings(jwt_secret=Secret(), jwt_secret_file=str(path), jwt_refresh_s=1),
        on_reading=lambda source, succeeded: told.append((source, succeeded)),
    )
    try:
        until(lambda: told == [("JWT_SECRET_FILE", False)])
        assert "No such file" in str(verifier.not_ready())
        path.write_text(f"{'o' * 32}\n{SECRET}\n")
        ready(verifier)
        for secret in (SECRET, "o" * 32):
            assert verifier.user_id(f"Bearer {token(secret)}") == USER
        with pytest.raises(UnauthorizedError):
            verifier.user_id(f"Bearer {token('x' * 32)}")
    finally:
        verifier.close()
    assert told[-1] == ("JWT_SECRET_FILE", True)


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
