"""From settings to a verifier."""

from __future__ import annotations

from collections.abc import Callable

from ugc_api.auth.following import KeySource
from ugc_api.auth.jose import secret_key
from ugc_api.auth.keys import KeyRing
from ugc_api.auth.sources import from_jwks, from_pem, from_secrets, is_url
from ugc_api.auth.tokens import TokenPolicy, TokenVerifier
from ugc_api.settings import Settings
from ugc_api.turns import Turns

_FILE_EVERY_S = 10.0
"""A file costs nothing to read, and an issuer waits for its new key to be known."""


def build_verifier(
    settings: Settings,
    *,
    on_reading: Callable[[str, bool], None] = lambda _source, _succeeded: None,
    turns: Turns | None = None,
) -> TokenVerifier:
    """The verifier that the settings describe; close it when it is not needed any more.

    Args:
        settings: those of tokens and keys.
        on_reading: called after each reading of keys, with the setting that names their source
            and whether it succeeded.
        turns: of requests; None where each has a thread.
    """
    secret = settings.jwt_secret.reveal().encode()
    keys = KeyRing(
        [secret_key(secret)] if secret else [],
        _sources(settings),
        on_reading=on_reading,
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


def _sources(settings: Settings) -> list[KeySource]:
    url_every_s = float(settings.jwt_refresh_s)
    file_every_s = min(url_every_s, _FILE_EVERY_S)
    sources = []
    if path := settings.jwt_secret_file:
        sources.append(
            KeySource(
                name="JWT_SECRET_FILE", read=from_secrets(path), every_s=file_every_s, shared=True
            )
        )
    if path := settings.jwt_public_key_file:
        sources.append(
            KeySource(name="JWT_PUBLIC_KEY_FILE", read=from_pem(path), every_s=file_every_s)
        )
    if place := settings.jwt_jwks:
        every_s = url_every_s if is_url(place) else file_every_s
        sources.append(KeySource(name="JWT_JWKS", read=from_jwks(place), every_s=every_s))
    return sources
