"""Whose events these are: bearer tokens, the keys that sign them, and how both are checked."""

from ugc_api.auth.build import build_verifier
from ugc_api.auth.tokens import ForbiddenError, TokenVerifier, UnauthorizedError

__all__ = ["ForbiddenError", "TokenVerifier", "UnauthorizedError", "build_verifier"]
