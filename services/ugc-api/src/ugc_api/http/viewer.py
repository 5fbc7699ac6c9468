"""Who sent a request."""

from __future__ import annotations

from uuid import UUID

from flask import Request

from ugc_api.auth import TokenVerifier
from ugc_api.rate_limit import Allowance


class Viewers:
    """Tells whose events a request carries."""

    def __init__(self, tokens: TokenVerifier, requests: Allowance) -> None:
        self._tokens = tokens
        self._requests = requests

    def of(self, request: Request) -> UUID:
        """The viewer. Raises UnauthorizedError, ForbiddenError, RateLimitedError."""
        user_id = self._tokens.user_id(request.headers.get("Authorization"))
        self._requests.spend(user_id)
        return user_id
