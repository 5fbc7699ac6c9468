"""Those on either side: a viewer's app that sends events, and an analyst who asks."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Analyst:
    """The user `analyst` at ClickHouse's HTTP endpoint, `port` of this machine."""

    port: int
    password: str

    def ask(self, sql: str) -> str:
        """The answer, tab-separated. Raises AssertionError with the server's words."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/?{urllib.parse.urlencode({'query': sql})}",
            headers={"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": self.password},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - ours
                text: str = answer.read().decode()
                return text.strip()
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{sql}: {refusal.code} {refusal.read().decode()}") from refusal

    def await_events(
        self, event_type: str, count: int, timeout_s: float, *, repeated: bool = False
    ) -> float:
        """Seconds until there are exactly `count` events of a type, in as many rows.

        More rows than events would be doubled ones, unless viewers have `repeated` what was not
        acknowledged: then its first record may have been stored, too. Raises AssertionError.
        """
        began = time.monotonic()
        sql = f"SELECT sum(rows), sum(events) FROM analytics.events WHERE type = '{event_type}'"
        while (seen := [int(each) for each in self.ask(sql).split()])[1] != count or (
            seen[0] != count and not repeated
        ):
            most = seen[1] if repeated else max(seen)
            assert most <= count, f"rows and events are {seen}, sent were {count}"
            assert time.monotonic() - began < timeout_s, f"{seen} of {count} {event_type}"
            time.sleep(0.1)
        return time.monotonic() - began
