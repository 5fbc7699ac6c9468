"""Events to send, and partitions to send them through."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from ugc_etl.adapters.memory import records_of
from ugc_etl.operations.ports import StoredRecord
from ugc_etl.records import Partition, Records
from ugc_events import (
    Bookmark,
    Click,
    Event,
    PageView,
    QualityChange,
    Rating,
    Review,
    Search,
    ViewCompleted,
    ViewProgress,
    encode_record,
)

NOW_MS = 1_790_000_000_000
TOPIC_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"


def partition(number: int = 0, topic: str = "ugc.views.v1") -> Partition:
    return Partition(topic, TOPIC_ID, number)


def records(
    values: Iterable[bytes | None],
    timestamp_ms: int = NOW_MS,
    *,
    first_offset: int = 100,
    where: Partition | None = None,
) -> Records:
    return records_of(
        where or partition(),
        [
            StoredRecord(first_offset + n, timestamp_ms, b"key", value, (("h", b"v"),))
            for n, value in enumerate(values)
        ],
    )


def envelope(number: int, received_at: int = NOW_MS) -> dict[str, Any]:
    return {
        "event_id": UUID(int=number + 1),
        "occurred_at": received_at - 1000 - number % 7,
        "received_at": received_at,
        "user_id": UUID(int=(number % 5 + 1) << 100 | 7),
        "session_id": UUID(int=number % 11 << 64 | 1),
    }


def view(number: int, received_at: int = NOW_MS) -> ViewProgress:
    return ViewProgress(
        **envelope(number, received_at),
        content_id=UUID(int=(number % 3) << 96 | 5),
        position_ms=number * 30_000 % 7_200_000,
        duration_ms=7_200_000,
        device=("tv", "phone", "web")[number % 3],
    )


def views(count: int, received_at: int = NOW_MS) -> list[bytes]:
    return [encode_record(view(number, received_at)) for number in range(count)]


def interactions(count: int, received_at: int = NOW_MS) -> Iterator[Event]:
    film = UUID(int=3 << 70)
    for number in range(count):
        common = envelope(number, received_at)
        yield from [
            Click(**common, element="play", path="/films/1", content_id=film),
            PageView(**common, path="/ünï/☃", dwell_ms=number),
            Search(**common, filters={"genre": "drama", "year": str(number)}),
            QualityChange(**common, content_id=film, from_quality="720p", to_quality="1080p"),
            ViewCompleted(**common, content_id=film, duration_ms=1 + number),
        ]


def reactions(count: int, received_at: int = NOW_MS) -> Iterator[Event]:
    film = UUID(int=9 << 70)
    for number in range(count):
        common = envelope(number, received_at)
        yield from [
            Rating(**common, content_id=film, score=number % 11),
            Rating(**common, content_id=film, score=None),
            Bookmark(**common, content_id=film, bookmarked=bool(number % 2)),
            Review(**common, content_id=film, text="☃" * number or None),
        ]
