import json
import tracemalloc
from typing import Any
from uuid import UUID

import pytest
from api_samples import FILM, NOW_MS, USER
from hypothesis import given
from hypothesis import strategies as st
from ugc_api.ingest import BodyError, BodyFault
from ugc_api.reactions import RESOURCES, Resource, reaction
from ugc_events import Bookmark, Event, Invalid, Rating, Reason, Review, decode_submission

NEW_ID = UUID("018f2b7a-0000-7000-8000-0000000000ff")
OTHER = UUID("018f2b7a-0000-7000-8000-0000000000ee")
RATING, BOOKMARK, REVIEW = RESOURCES


def submitted(
    resource: Resource,
    body: Any = None,
    *,
    removed: bool = False,
    key: str | None = None,
    user: UUID = USER,
) -> Event | Invalid:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    event = reaction(
        resource,
        data,
        film_id=FILM,
        removed=removed,
        idempotency_key=key,
        user_id=user,
        now_ms=NOW_MS,
        new_id=NEW_ID,
    )
    return decode_submission(event, user_id=user, received_at=NOW_MS, new_event_id=lambda: OTHER)


@pytest.mark.parametrize(
    ("resource", "removed", "body", "kind", "own"),
    [
        (RATING, False, {"score": 7}, Rating, {"score": 7}),
        (RATING, True, None, Rating, {"score": None}),
        (BOOKMARK, False, None, Bookmark, {"bookmarked": True}),
        (BOOKMARK, False, {}, Bookmark, {"bookmarked": True}),
        (BOOKMARK, True, None, Bookmark, {"bookmarked": False}),
        (REVIEW, False, {"text": "good"}, Review, {"text": "good"}),
        (REVIEW, True, {}, Review, {"text": None}),
    ],
)
def test_a_resource_is_the_event_that_sets_it(
    resource: Resource, removed: bool, body: Any, kind: type[Event], own: dict[str, Any]
) -> None:
    assert submitted(resource, body, removed=removed) == kind(
        event_id=NEW_ID,
        occurred_at=NOW_MS,
        received_at=NOW_MS,
        user_id=USER,
        session_id=NEW_ID,
        content_id=FILM,
        **own,
    )


def test_the_envelope_may_come_in_the_body() -> None:
    body = {"event_id": str(OTHER), "session_id": str(FILM), "occurred_at": NOW_MS - 5}
    event = submitted(BOOKMARK, body)
    assert isinstance(event, Bookmark)
    assert (event.event_id, event.session_id) == (OTHER, FILM)
    assert event.occurred_at == NOW_MS - 5


def test_a_key_names_the_event() -> None:
    def event_id(*given: Any, **more: Any) -> UUID:
        event = submitted(*given, **more)
        assert isinstance(event, Event)
        return event.event_id

    first = event_id(BOOKMARK, key="a")
    assert event_id(BOOKMARK, key="a") == first
    assert event_id(BOOKMARK, {"event_id": None}, key="a") == first
    others = {
        event_id(BOOKMARK, key="b"),
        event_id(BOOKMARK, key="a", removed=True),
        event_id(RATING, {"score": 1}, key="a"),
        event_id(BOOKMARK, key="a", user=OTHER),
    }
    assert len(others) == 4
    assert first not in others
    assert event_id(BOOKMARK, {"event_id": str(OTHER)}, key="a") == OTHER


def test_an_anonymous_key_names_the_event_of_its_session() -> None:
    def event_id(session: UUID) -> str:
        event = reaction(
            BOOKMARK,
            json.dumps({"session_id": str(session)}).encode(),
            film_id=FILM,
            removed=False,
            idempotency_key="a",
            user_id=None,
            now_ms=NOW_MS,
            new_id=NEW_ID,
        )
        return str(json.loads(event)["event_id"])

    assert event_id(USER) == event_id(USER) != event_id(OTHER)


@pytest.mark.parametrize(
    ("resource", "body", "field", "reason"),
    [
        (RATING, {}, "score", Reason.MISSING),
        (RATING, {"score": 11}, "score", Reason.OUT_OF_RANGE),
        (RATING, b'{"score": 1e400}', "score", Reason.WRONG_FORMAT),
        (RATING, {"score": 10**30}, "score", Reason.OUT_OF_RANGE),
        (RATING, {"score": 1, "text": ""}, "text", Reason.UNKNOWN_FIELD),
        (BOOKMARK, {"event_id": 5}, "event_id", Reason.WRONG_TYPE),
        (BOOKMARK, {"user_id": str(OTHER)}, "user_id", Reason.UNKNOWN_FIELD),
        (REVIEW, {"text": ""}, "text", Reason.OUT_OF_RANGE),
    ],
)
def test_what_is_wrong_is_said_as_of_any_event(
    resource: Resource, body: Any, field: str, reason: Reason
) -> None:
    verdict = submitted(resource, body)
    assert isinstance(verdict, Invalid)
    assert (verdict.field, verdict.reason) == (field, reason)


@pytest.mark.parametrize(
    ("resource", "removed", "name"),
    [
        (RATING, False, "type"),
        (RATING, False, "content_id"),
        (RATING, True, "score"),
        (BOOKMARK, False, "bookmarked"),
    ],
)
def test_what_the_path_says_is_not_said_again(resource: Resource, removed: bool, name: str) -> None:
    with pytest.raises(BodyError) as caught:
        submitted(resource, {name: 1}, removed=removed)
    assert caught.value.fault is BodyFault.FIXED_FIELD


@given(st.binary(min_size=1, max_size=60))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        submitted(BOOKMARK, noise)
    assert caught.value.fault is BodyFault.NOT_JSON


def test_a_body_that_is_too_large_is_not_taken_apart() -> None:
    names = b",".join(b'"%d":1' % number for number in range(300_000))
    tracemalloc.start()
    try:
        with pytest.raises(BodyError) as caught:
            submitted(REVIEW, b"{" + names + b"}")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000  # of which the body is 4
    finally:
        tracemalloc.stop()
    assert caught.value.fault is BodyFault.EVENT_TOO_LARGE
