"""Those on either side: a viewer's app that sends events, and an analyst who asks."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import jwt

_TIMEOUT_S = 30


def page_views(count: int, *, path: str) -> list[dict[str, object]]:
    return [
        {
            "event_id": str(uuid.uuid4()),
            "type": "page_view",
            "path": path,
            "dwell_ms": 1000,
            "session_id": str(uuid.uuid4()),
            "occurred_at": int(time.time() * 1000),
        }
        for _ in range(count)
    ]


def send(port: int, key: str, events: list[dict[str, object]]) -> int:
    """The status of one request with all of them, as a viewer of that moment."""
    claims = {"sub": str(uuid.uuid4()), "exp": int(time.time()) + 300}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/events",
        data=json.dumps(events).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {jwt.encode(claims, key, 'HS256')}",
        },
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - ours
        status: int = answer.status
        return status


def ask(port: int, password: str, sql: str) -> str:
    """What ClickHouse's HTTP endpoint answers to `analyst`."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/?{urllib.parse.urlencode({'query': sql})}",
        headers={"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": password},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - ours
            text: str = answer.read().decode()
            return text.strip()
    except urllib.error.HTTPError as refusal:
        raise AssertionError(f"{sql}: {refusal.code} {refusal.read().decode()}") from refusal
