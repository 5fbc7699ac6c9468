"""Whose events these are: the bearer token of a request, verified."""

from __future__ import annotations

from uuid import UUID

import jwt
from ugc_settings import Secret

_ALGORITHMS = ["HS256"]
_UUID_CHARS = 36


class UnauthorizedError(Exception):
    """The request does not say who sent it. The message may be shown to the client.

    Attributes:
        error: RFC 6750's code; "" where there was no token at all.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class TokenVerifier:
    """Verifies JSON Web Tokens signed with a shared key.

    A token has to carry `exp` and a `sub` that is a UUID. `aud` and `iss` are checked where an
    expectation is given. Expiry is judged by the machine's clock.
    """

    def __init__(self, secret: Secret, *, audience: str, issuer: str, leeway_s: int) -> None:
        self._secret = secret
        self._audience = audience or None
        self._issuer = issuer or None
        self._leeway_s = leeway_s
        self._options: jwt.types.Options = {
            "require": ["exp", "sub"],
            "verify_aud": bool(audience),
            "verify_iss": bool(issuer),
        }

    def user_id(self, authorization: str | None) -> UUID:
        """The viewer of an `Authorization` header. Raises UnauthorizedError."""
        if not authorization:
            raise UnauthorizedError("", "send Authorization: Bearer <token>")
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
        return _uuid(claims["sub"])


def _uuid(subject: str) -> UUID:
    try:
        # UUID() also takes braces and bare hex; one spelling is enough.
        if len(subject) == _UUID_CHARS:
            return UUID(subject)
    except ValueError as error:
        raise UnauthorizedError("invalid_token", "the token's sub is not a UUID") from error
    raise UnauthorizedError("invalid_token", "the token's sub is not a UUID")
