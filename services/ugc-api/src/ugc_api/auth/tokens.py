"""Whose a token is: policy, memory and verdict."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from ugc_api.auth.jose import ALGORITHMS, BadTokenError, Header, claims_of, read_header
from ugc_api.auth.keys import KeyRing, KeySet

MAX_TOKEN_CHARS = 8000
"""More than any header that the server lets through; what is longer is not even split."""
REMEMBER_S = 60
MAX_TOKENS = 65_536
"""What 1,000 viewers a second need who come back after half a minute, and then some."""


class UnauthorizedError(Exception):
    """The request does not say who sent it. The message may be shown to the client.

    Attributes:
        error: RFC 6750's code; "" where there was no token at all.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class ForbiddenError(Exception):
    """The token is valid and does not allow this. The message may be shown to the client.

    Attributes:
        scope: what the token's scope lacks.
    """

    def __init__(self, scope: str) -> None:
        super().__init__(f"the token's scope lacks {scope}")
        self.scope = scope


@dataclass(frozen=True, kw_only=True)
class TokenPolicy:
    """What a token has to be.

    Attributes:
        algorithms: those that are accepted; a key of another one verifies nothing.
        audience, issuer: expected `aud` and `iss`; empty for any.
        scope: what `scope` has to contain; empty for anything.
        leeway_s: tolerated difference of clocks for `exp`, `nbf` and `iat`.
    """

    algorithms: tuple[str, ...] = ALGORITHMS
    audience: str = ""
    issuer: str = ""
    scope: str = ""
    leeway_s: int = 0


class _Verified(NamedTuple):
    user_id: UUID
    until_s: float
    keys: KeySet


class TokenMemory:
    """Whose a token was found to be: for a minute, until its expiry, while the keys are the same.

    A player sends the same token every 30 s, and verifying it costs more than the rest of the
    request's own work. Holds digests, not tokens, and a bounded number of them; times are seconds
    since the epoch.
    """

    def __init__(self) -> None:
        # Two generations: when the newer is full it becomes the older, whose tokens are forgotten.
        self._newer: dict[bytes, _Verified] = {}
        self._older: dict[bytes, _Verified] = {}

    def recall(self, token: bytes, keys: KeySet, now_s: float) -> UUID | None:
        """The viewer; None where the token has to be verified."""
        known = self._newer.get(token) or self._older.get(token)
        if known is None or known.keys is not keys or now_s >= known.until_s:
            return None
        return known.user_id

    def keep(
        self, token: bytes, user_id: UUID, keys: KeySet, *, expires_s: float, now_s: float
    ) -> None:
        """Remember a token that has just been verified with `keys`."""
        if len(self._newer) >= MAX_TOKENS // 2:
            self._older, self._newer = self._newer, {}
        self._newer[token] = _Verified(user_id, min(expires_s, now_s + REMEMBER_S), keys)


class TokenVerifier:
    """Verifies JSON Web Tokens.

    A token has to carry `exp` and a `sub` that is a UUID.

    Args:
        keys: who may have signed.
        policy: what else a token has to be.
        now_s: seconds since the epoch, for the memory; the JWT library asks the machine itself.
    """

    def __init__(
        self, keys: KeyRing, policy: TokenPolicy, *, now_s: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._now_s = now_s
        self._memory = TokenMemory()

    def user_id(self, authorization: str | None) -> UUID:
        """The viewer of an `Authorization` header.

        Raises UnauthorizedError, or ForbiddenError where the scope does not suffice.
        """
        if not authorization:
            raise UnauthorizedError("", "send Authorization: Bearer <token>")
        if len(authorization) > MAX_TOKEN_CHARS:
            raise UnauthorizedError("invalid_token", "the token is too long")
        now_s = self._now_s()
        digest = hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest()
        known = self._memory.recall(digest, self._keys.current, now_s)
        if known is not None:
            return known
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError("invalid_request", "send Authorization: Bearer <token>")
        try:
            claims, keys = self._verify(token.strip(" \t"))
        except BadTokenError as error:
            message = "the token has expired" if error.expired else "the token is not valid here"
            raise UnauthorizedError("invalid_token", message) from error
        user_id = _uuid(claims["sub"])
        if self._policy.scope and self._policy.scope not in _scopes(claims):
            raise ForbiddenError(self._policy.scope)
        expires_s = int(claims["exp"]) + self._policy.leeway_s
        self._memory.keep(digest, user_id, keys, expires_s=expires_s, now_s=now_s)
        return user_id

    def not_ready(self) -> str | None:
        """Why no token can be verified; None as a rule."""
        return self._keys.not_ready()

    def close(self) -> None:
        """Stop following the source of the keys."""
        self._keys.close()

    def _verify(self, token: str) -> tuple[dict[str, Any], KeySet]:
        header = read_header(token)
        if header.algorithm not in self._policy.algorithms:
            raise BadTokenError("the algorithm is not accepted")
        keys = self._keys.current
        try:
            return self._claims(token, header, keys), keys
        except BadTokenError:
            newer = self._keys.look_for(header)
            if newer is keys:
                raise
            return self._claims(token, header, newer), newer

    def _claims(self, token: str, header: Header, keys: KeySet) -> dict[str, Any]:
        refusal = BadTokenError("no key for it")
        for key in keys.fitting(header):
            try:
                return claims_of(
                    token,
                    key,
                    audience=self._policy.audience or None,
                    issuer=self._policy.issuer or None,
                    leeway_s=self._policy.leeway_s,
                )
            except BadTokenError as error:
                refusal = error if error.expired or not refusal.expired else refusal
        raise refusal


def _scopes(claims: dict[str, Any]) -> list[str]:
    """RFC 8693's `scope`, a text with blanks; some issuers send a list."""
    scope = claims.get("scope", "")
    if isinstance(scope, str):
        return scope.split()
    return [one for one in scope if isinstance(one, str)] if isinstance(scope, list) else []


def _uuid(subject: str) -> UUID:
    try:
        user_id = UUID(subject)
    except ValueError as error:
        raise UnauthorizedError("invalid_token", "the token's sub is not a UUID") from error
    # UUID() also takes braces, bare hex and underscores; one spelling is enough.
    if str(user_id) != subject.lower():
        raise UnauthorizedError("invalid_token", "the token's sub is not a UUID")
    return user_id
