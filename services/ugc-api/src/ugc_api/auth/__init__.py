"""Whose events these are: bearer tokens, the keys that sign them, and how both are checked."""

from ugc_api.auth.tokens import (
    ForbiddenError,
    TokenPolicy,
    TokenVerifier,
    UnauthorizedError,
)

__all__ = ["ForbiddenError", "TokenPolicy", "TokenVerifier", "UnauthorizedError"]
