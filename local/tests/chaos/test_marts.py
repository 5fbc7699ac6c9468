from uuid import UUID

from ugc_events import Bookmark, Rating, ViewProgress
from ugc_local.chaos import marts

FILM, ANN, BOB = UUID(int=1), UUID(int=2), UUID(int=3)
DAY_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000


def envelope(user, at_ms, number=0):
    return {
        "event_id": UUID(int=number),
        "occurred_at": DAY_MS + at_ms,
        "received_at": DAY_MS + at_ms,
        "user_id": user,
        "session_id": UUID(int=9),
    }


def tick(user, at_ms, position_ms, duration_ms=120_000):
    return ViewProgress(
        **envelope(user, at_ms),
        content_id=FILM,
        position_ms=position_ms,
        duration_ms=duration_ms,
        device="tv",
    )


def test_viewings_and_audience_follow_the_definitions():
    events = [
        tick(ANN, 60_000, 30_000),
        tick(ANN, 1_000, 119_999),
        tick(ANN, 30_000, 59_999, 125_000),
        tick(BOB, 900_000, 120_000),
    ]
    slot = DAY_MS // 1000
    assert marts.expected(events) == {
        ("viewing", str(FILM), str(ANN)): (
            2, 125_000, DAY_MS + 1_000, [DAY_MS + 60_000, 30_000, 0],
        ),
        ("viewing", str(FILM), str(BOB)): (
            1, 120_000, DAY_MS + 900_000, [DAY_MS + 900_000, 120_000, 1],
        ),
        ("audience", str(slot)): (1,),
        ("audience", str(slot + 900)): (1,),
    }  # fmt: skip


def test_the_last_reaction_by_the_clients_clock_counts():
    events = [
        Rating(**envelope(ANN, 20, 1), content_id=FILM, score=None),
        Rating(**envelope(ANN, 10, 2), content_id=FILM, score=7),
        Rating(**envelope(BOB, 10, 5), content_id=FILM, score=7),
        Rating(**envelope(BOB, 10, 4), content_id=FILM, score=8),
        Bookmark(**envelope(BOB, 5), content_id=FILM, bookmarked=False),
    ]
    assert marts.expected(events) == {
        ("reaction", "rating", str(FILM), str(ANN)): (-1, DAY_MS + 20),
        ("reaction", "rating", str(FILM), str(BOB)): (7, DAY_MS + 10),
        ("reaction", "bookmark", str(FILM), str(BOB)): (0, DAY_MS + 5),
    }


def test_differences_name_the_figure_on_either_side():
    should, are = {("audience", "0"): (1,), ("audience", "1"): (1,)}, {("audience", "1"): (2,)}
    assert marts.differences(should, should) == []
    assert marts.differences(should, are) == [
        "mart: audience / 0: expected (1,), found None",
        "mart: audience / 1: expected (1,), found (2,)",
    ]
