"""Who sent a request."""

from __future__ import annotations

from uuid import UUID

from flask import Request

from ugc_api.auth import TokenVerifier


class Viewers:
    """Tells whose events a request carries."""

    def __init__(self, tokens: TokenVerifier) -> None:
        self._tokens = tokens

    def of(self, request: Request) -> UUID:
        """The viewer. Raises UnauthorizedError."""
        return self._tokens.user_id(request.headers.get("Authorization"))
