"""Whose events these are: the bearer token of a request, verified."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

import jwt
from ugc_settings import Secret

_ALGORITHMS = ["HS256"]
_UUID_CHARS = 36
REMEMBER_S = 60
MAX_TOKENS = 4096


class UnauthorizedError(Exception):
    """The request does not say who sent it. The message may be shown to the client.

    Attributes:
        error: RFC 6750's code; "" where there was no token at all.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class _Verified(NamedTuple):
    user_id: UUID
    until_s: float


class TokenMemory:
    """Whose a token was found to be, for a minute and never beyond its expiry.

    A player sends the same token every 30 s, and verifying it costs more than the rest of the
    request's own work. Holds a bounded number of tokens; times are seconds since the epoch.
    """

    def __init__(self) -> None:
        self._verified: dict[str, _Verified] = {}

    def recall(self, token: str, now_s: float) -> UUID | None:
        """The viewer; None where the token has to be verified."""
        known = self._verified.get(token)
        return known.user_id if known is not None and now_s < known.until_s else None

    def keep(self, token: str, user_id: UUID, *, expires_s: float, now_s: float) -> None:
        """Remember a token that has just been verified."""
        if len(self._verified) >= MAX_TOKENS:
            self._verified.clear()
        self._verified[token] = _Verified(user_id, min(expires_s, now_s + REMEMBER_S))


class TokenVerifier:
    """Verifies JSON Web Tokens signed with a shared key.

    A token has to carry `exp` and a `sub` that is a UUID. `aud` and `iss` are checked where an
    expectation is given.

    Args:
        secret: the key.
        audience, issuer: expected `aud` and `iss`; empty for any.
        leeway_s: tolerated difference of clocks.
        now_s: seconds since the epoch, for the memory; the JWT library asks the machine itself.
    """

    def __init__(
        self,
        secret: Secret,
        *,
        audience: str,
        issuer: str,
        leeway_s: int,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._audience = audience or None
        self._issuer = issuer or None
        self._leeway_s = leeway_s
        self._now_s = now_s
        self._memory = TokenMemory()
        self._options: jwt.types.Options = {
            "require": ["exp", "sub"],
            "verify_aud": bool(audience),
            "verify_iss": bool(issuer),
        }

    def user_id(self, authorization: str | None) -> UUID:
        """The viewer of an `Authorization` header. Raises UnauthorizedError."""
        if not authorization:
            raise UnauthorizedError("", "send Authorization: Bearer <token>")
        now_s = self._now_s()
        known = self._memory.recall(authorization, now_s)
        if known is not None:
            return known
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError("invalid_request", "send Authorization: Bearer <token>")
        try:
            claims = jwt.decode(
                token.strip(),
                self._secret.reveal(),
                algorithms=_ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options=self._options,
            )
        except jwt.ExpiredSignatureError as error:
            raise UnauthorizedError("invalid_token", "the token has expired") from error
        except jwt.PyJWTError as error:
            raise UnauthorizedError("invalid_token", "the token is not valid here") from error
        user_id = _uuid(claims["sub"])
        expires_s = int(claims["exp"]) + self._leeway_s
        self._memory.keep(authorization, user_id, expires_s=expires_s, now_s=now_s)
        return user_id


def _uuid(subject: str) -> UUID:
    try:
        # UUID() also takes braces and bare hex; one spelling is enough.
        if len(subject) == _UUID_CHARS:
            return UUID(subject)
    except ValueError as error:
        raise UnauthorizedError("invalid_token", "the token's sub is not a UUID") from error
    raise UnauthorizedError("invalid_token", "the token's sub is not a UUID")
