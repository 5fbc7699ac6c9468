"""Who sent a request."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import NamedTuple
from uuid import UUID, uuid5

from flask import Request

from ugc_api.auth import TokenVerifier
from ugc_api.rate_limit import Allowance

_ADDRESSES = UUID("9e1c6c8e-93a4-4c0b-8b7f-6a0f4a6a2f52")


class Viewer(NamedTuple):
    """Who sent a request.

    Attributes:
        user_id: from the token; None where there is none and that is allowed.
        payer: on whose allowance the request is: the viewer, or whoever shares the address.
    """

    user_id: UUID | None
    payer: UUID


class Viewers:
    """Tells whose events a request carries.

    Args:
        tokens: verifies them.
        requests: what each viewer may send.
        anonymous: whether a request without a token is taken.
    """

    def __init__(
        self, tokens: TokenVerifier, requests: Allowance, *, anonymous: bool = False
    ) -> None:
        self._tokens = tokens
        self._requests = requests
        self._anonymous = anonymous

    def of(self, request: Request) -> Viewer:
        """The viewer. Raises UnauthorizedError, ForbiddenError, RateLimitedError."""
        authorization = request.headers.get("Authorization")
        if authorization is None and self._anonymous:
            viewer = Viewer(None, uuid5(_ADDRESSES, _household(request.remote_addr or "")))
        else:
            user_id = self._tokens.user_id(authorization)
            viewer = Viewer(user_id, user_id)
        self._requests.spend(viewer.payer)
        return viewer


def _household(address: str) -> str:
    """An address, or of IPv6 the network of one subscriber, who has 2**64 addresses in it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address  # what a trusted proxy said, in a form of its own
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
