"""From settings to a verifier."""

from __future__ import annotations

from ugc_api.auth.jose import secret_key
from ugc_api.auth.keys import KeyRing
from ugc_api.auth.sources import from_jwks, from_pem
from ugc_api.auth.tokens import TokenPolicy, TokenVerifier
from ugc_api.settings import Settings
from ugc_api.turns import Turns


def build_verifier(settings: Settings, turns: Turns | None = None) -> TokenVerifier:
    """The verifier that the settings describe; close it when it is not needed any more.

    Args:
        settings: those of tokens and keys.
        turns: of requests; None where each has a thread.
    """
    secret = settings.jwt_secret.reveal().encode()
    read = None
    if settings.jwt_jwks:
        read = from_jwks(settings.jwt_jwks)
    elif settings.jwt_public_key_file:
        read = from_pem(settings.jwt_public_key_file)
    keys = KeyRing(
        [secret_key(secret)] if secret else [],
        read,
        every_s=float(settings.jwt_refresh_s),
        turns=turns,
    )
    policy = TokenPolicy(
        algorithms=tuple(settings.jwt_algorithms.split(",")),
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        scope=settings.jwt_scope,
        leeway_s=settings.jwt_leeway_s,
    )
    return TokenVerifier(keys, policy)
