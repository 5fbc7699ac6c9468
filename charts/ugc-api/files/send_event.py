"""What `helm test` does: sends an event through the Service, or sees that it is guarded."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

import jwt


def ask(path: str, body: object = None, token: str = "") -> tuple[int, str]:
    request = urllib.request.Request(  # noqa: S310 - the release's own Service
        os.environ["API_URL"] + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def expect(what: str, status: int, answer: tuple[int, str]) -> None:
    print(f"{what}: {answer[0]} {answer[1].strip()}")
    if answer[0] != status:
        sys.exit(f"expected {status}")


event = {
    "type": "page_view",
    "path": "/helm-test",
    "dwell_ms": 0,
    "session_id": str(uuid.uuid4()),
    "occurred_at": int(time.time() * 1000),
}
claims = {"sub": str(uuid.uuid4()), "exp": int(time.time()) + 60}
for claim, name in (("aud", "JWT_AUDIENCE"), ("iss", "JWT_ISSUER"), ("scope", "JWT_SCOPE")):
    if os.environ.get(name):
        claims[claim] = os.environ[name]

expect("is it ready", 200, ask("/readyz"))
expect("without a token", 401, ask("/v1/events", [event]))
if secret := os.environ.get("JWT_SECRET", "").strip():
    if secret.startswith("{"):
        key = jwt.PyJWKSet.from_json(secret).keys[-1]
        token = jwt.encode(claims, key.key, "HS256", {"kid": key.key_id})
    else:  # keys, one a line
        token = jwt.encode(claims, secret.split()[-1], "HS256")
    expect("an event", 202, ask("/v1/events", [event], token))
