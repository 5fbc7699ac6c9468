"""Runs in a pod beside the API: requests at a steady pace until /tmp/stop is there.

Every request is one viewer's, on a connection of its own, so that the Service chooses a pod for
each. Nothing is tried again. It prints a line when the API first answers, and at the end as JSON
what was acknowledged and what failed.
"""

import json
import os
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import jwt

STOP = Path("/tmp/stop")  # noqa: S108 - the pod's own
LONGEST_S = 600.0
PER_SECOND = float(os.environ["REQUESTS_PER_S"])
EVENTS = int(os.environ["EVENTS_PER_REQUEST"])


def once() -> None:
    viewer = str(uuid.uuid4())
    now_s = time.time()
    event = {
        "type": "view_progress",
        "content_id": str(uuid.uuid4()),
        "position_ms": 30_000,
        "duration_ms": 5_400_000,
        "device": "tv",
        "session_id": str(uuid.uuid4()),
        "occurred_at": int(now_s * 1000),
    }
    events = [{**event, "event_id": str(uuid.uuid4())} for _ in range(EVENTS)]
    token = jwt.encode({"sub": viewer, "exp": int(now_s) + 60}, os.environ["JWT_SECRET"], "HS256")
    request = urllib.request.Request(  # noqa: S310 - the release's own Service
        f"{os.environ['API_URL']}/v1/events",
        data=json.dumps(events).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        if answer.status != 202:
            raise urllib.error.URLError(f"{answer.status} {answer.read()!r}")


began = time.monotonic()
acknowledged, slowest_s = 0, 0.0
failures: list[str] = []
while not STOP.exists() and time.monotonic() - began < LONGEST_S:
    started = time.monotonic()
    try:
        once()
    except OSError as error:  # refusals by HTTP too
        failures.append(f"after {started - began:.1f} s: {error}")
    else:
        if not acknowledged:
            print("first", flush=True)
        acknowledged += 1
    took_s = time.monotonic() - started
    slowest_s = max(slowest_s, took_s)
    time.sleep(max(0.0, 1 / PER_SECOND - took_s))
print(
    json.dumps(
        {
            "requests": acknowledged,
            "events": acknowledged * EVENTS,
            "failures": failures[:20],
            "failed": len(failures),
            "slowest_s": round(slowest_s, 3),
        }
    )
)
