"""Requests as apps send them, as bytes: made before anything is measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from uuid import UUID

import msgspec
from ugc_local.generator.tokens import token_minter

_DEVICES = ("tv", "phone", "web", "tablet", "console")
_PATHS = ("/", "/films", "/films/018f2b7a", "/search", "/profile")


def singles(secret: str, *, viewers: int, seed: int) -> list[bytes]:
    """One request of one event for each viewer."""
    chance, now_ms = Random(seed), time.time_ns() // 1_000_000  # noqa: S311 - reproducible
    return [
        _request(token, _encoded(_event(chance, now_ms)), chance)
        for token in _tokens(secret, viewers, chance)
    ]


def batches(secret: str, *, viewers: int, size: int, seed: int) -> list[bytes]:
    """One request of an array of events for each viewer."""
    chance, now_ms = Random(seed), time.time_ns() // 1_000_000  # noqa: S311 - reproducible
    return [
        _request(token, _encoded([_event(chance, now_ms) for _ in range(size)]), chance)
        for token in _tokens(secret, viewers, chance)
    ]


def _tokens(secret: str, viewers: int, chance: Random) -> Iterator[str]:
    mint = token_minter(secret, issued_at_s=int(time.time()))
    return (mint(_uuid(chance)) for _ in range(viewers))


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


def _request(token: str, body: bytes, chance: Random) -> bytes:
    """With the headers that a proxy hands on."""
    return (
        "POST /v1/events HTTP/1.1\r\nHost: ugc.example\r\nUser-Agent: player/5.2 (tv)\r\n"
        f"Accept: */*\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"traceparent: 00-{chance.getrandbits(128):032x}-{chance.getrandbits(64):016x}-01\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _uuid(chance: Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)
