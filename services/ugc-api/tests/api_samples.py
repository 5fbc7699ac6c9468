"""What the tests of the API send."""

import time
from typing import Any
from uuid import UUID, uuid4

import jwt
from ugc_api.settings import Settings
from ugc_settings import KafkaSettings, Secret

SECRET = "a key for tests that is long enough"
USER = UUID("018f2b7a-0000-7000-8000-00000000000a")
FILM = UUID("018f2b7a-0000-7000-8000-00000000000b")
NOW_MS = 1_767_225_600_000
PREFIX = "test."


def settings(**changes: Any) -> Settings:
    given = {
        "kafka": KafkaSettings(kafka_bootstrap_servers="nowhere:1", kafka_topic_prefix=PREFIX),
        "jwt_secret": Secret(SECRET),
    }
    return Settings(**(given | changes))


def token(key: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """A valid token, with some claims changed; None takes a claim out."""
    claims = {"sub": str(USER), "exp": int(time.time()) + 600} | changes
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm=algorithm)


def headers(**more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token()}", "Content-Type": "application/json", **more}


def tick(**changes: Any) -> dict[str, Any]:
    """A valid view_progress with an id of its own."""
    return {
        "type": "view_progress",
        "event_id": str(uuid4()),
        "occurred_at": NOW_MS - 1000,
        "session_id": str(uuid4()),
        "content_id": str(FILM),
        "position_ms": 30_000,
        "duration_ms": 7_200_000,
        "device": "tv",
    } | changes


def rating(**changes: Any) -> dict[str, Any]:
    return {
        "type": "rating",
        "event_id": str(uuid4()),
        "occurred_at": NOW_MS - 1000,
        "session_id": str(uuid4()),
        "content_id": str(FILM),
        "score": 9,
    } | changes
