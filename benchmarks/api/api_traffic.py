"""Requests as apps send them, as bytes: made before anything is measured."""

from __future__ import annotations

import time
from random import Random
from uuid import UUID

import msgspec
from ugc_local.generator.tokens import token_minter

_DEVICES = ("tv", "phone", "web", "tablet", "console")
_PATHS = ("/", "/films", "/films/018f2b7a", "/search", "/profile")


Request = tuple[bytes, bytes]
"""Head and body."""


def requests(secret: str, *, viewers: int, size: int, bodies: int, seed: int) -> list[Request]:
    """One request for each viewer, with a token of its own.

    Args:
        secret: of the tokens.
        viewers: how many.
        size: events of a request; 1 is a bare object.
        bodies: how many different ones there are.
        seed: draws everything.
    """
    chance, now_ms = Random(seed), time.time_ns() // 1_000_000  # noqa: S311 - reproducible
    made = [_body(chance, now_ms, size) for _ in range(min(bodies, viewers))]
    mint = token_minter(secret, issued_at_s=int(time.time()))
    found = []
    for number in range(viewers):
        body = made[number % len(made)]
        found.append((_head(mint(_uuid(chance)), len(body), chance), body))
    return found


def _body(chance: Random, now_ms: int, size: int) -> bytes:
    events = [_event(chance, now_ms) for _ in range(size)]
    return msgspec.json.encode(events if size > 1 else events[0])


def _event(chance: Random, now_ms: int) -> dict[str, object]:
    """Eight of ten are a player's ticks; all have what browsers and phones fill in."""
    envelope = {
        "event_id": _uuid(chance),
        "occurred_at": now_ms - chance.randrange(60_000),
        "session_id": _uuid(chance),
        "content_id": _uuid(chance),
    }
    draw = chance.random()
    if draw < 0.80:
        return {
            "type": "view_progress",
            **envelope,
            "position_ms": chance.randrange(7_200_000),
            "duration_ms": 7_200_000,
            "device": chance.choice(_DEVICES),
        }
    if draw < 0.95:
        dwell_ms = chance.randrange(120_000)
        path = chance.choice(_PATHS)
        return {"type": "page_view", **envelope, "path": path, "dwell_ms": dwell_ms}
    return {"type": "rating", **envelope, "score": chance.randrange(11)}


def _head(token: str, length: int, chance: Random) -> bytes:
    """With the headers that a proxy hands on."""
    return (
        "POST /v1/events HTTP/1.1\r\nHost: ugc.example\r\nUser-Agent: player/5.2 (tv)\r\n"
        f"Accept: */*\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"traceparent: 00-{chance.getrandbits(128):032x}-{chance.getrandbits(64):016x}-01\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def _uuid(chance: Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)
