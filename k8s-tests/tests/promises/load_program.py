"""Runs in a pod beside the API: requests at a steady pace until /tmp/stop is there.

Every request is one viewer's, on a connection of its own, so that the Service chooses a pod for
each. With UNTIL_TAKEN a request that fails is sent again, with the same ids, until it is taken;
else nothing is tried again. It prints a line when the API first answers, and at the end as JSON
what was acknowledged, what failed, and how long nothing was taken at the longest.
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
UNTIL_TAKEN = os.environ["UNTIL_TAKEN"] == "yes"
AGAIN_S = 0.2


def made() -> urllib.request.Request:
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
    return urllib.request.Request(  # noqa: S310 - the release's own Service
        f"{os.environ['API_URL']}/v1/events",
        data=json.dumps(events).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )


def once(request: urllib.request.Request) -> None:
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        if answer.status != 202:
            raise urllib.error.URLError(f"{answer.status} {answer.read()!r}")


began = time.monotonic()
acknowledged, slowest_s, outage_s = 0, 0.0, 0.0
failures: list[str] = []
request: urllib.request.Request | None = None
first_s = began
while request or (not STOP.exists() and time.monotonic() - began < LONGEST_S):
    started = time.monotonic()
    if request is None:
        first_s, request = started, made()
    try:
        once(request)
    except OSError as error:  # refusals by HTTP too
        failures.append(f"after {started - began:.1f} s: {error}")
        if UNTIL_TAKEN and started - began < LONGEST_S:
            time.sleep(AGAIN_S)
            continue
    else:
        if not acknowledged:
            print("first", flush=True)
        acknowledged += 1
    request = None
    ended = time.monotonic()
    outage_s = max(outage_s, started - first_s)
    slowest_s = max(slowest_s, ended - started)
    time.sleep(max(0.0, 1 / PER_SECOND - (ended - started)))
print(
    json.dumps(
        {
            "requests": acknowledged,
            "events": acknowledged * EVENTS,
            "failures": failures[:20],
            "failed": len(failures),
            "slowest_s": round(slowest_s, 3),
            "outage_s": round(outage_s, 1),
        }
    )
)
