"""Tokens of the cinema's viewers, as its sign-in service would give them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import jwt


def token_minter(
    secret: str, *, issued_at_s: int, lifetime_s: int = 86_400
) -> Callable[[UUID], str]:
    """A function from a viewer to a JWT (HS256) with that `sub`.

    Args:
        secret: shared with the API; at least 32 bytes, as RFC 7518 asks for HS256.
        issued_at_s: seconds since the epoch.
        lifetime_s: how long a token is good from then, in seconds.
    """

    def mint(user_id: UUID) -> str:
        claims = {"sub": str(user_id), "iat": issued_at_s, "exp": issued_at_s + lifetime_s}
        return jwt.encode(claims, secret, algorithm="HS256")

    return mint
