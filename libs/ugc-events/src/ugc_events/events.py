"""The event types of the three families.

One class is one type. The envelope is in `Event`; a class adds its own fields and nothing else.
Fields are only ever added, optional, None by default, under a raised `VERSION` of that class:
docs/add-a-field.md.
"""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import Meta, Struct

EARLIEST_MS = 1_577_836_800_000
"""2020-01-01T00:00:00Z: no client clock of a real device is behind it."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01T00:00:00Z: what the tables' time columns are asked to hold at the most."""
MAX_DURATION_MS = 86_400_000
"""A day. The longest thing a cinema shows is well below."""

EpochMs = Annotated[int, Meta(ge=EARLIEST_MS, le=LATEST_MS)]
"""Milliseconds since the Unix epoch, UTC."""
DurationMs = Annotated[int, Meta(ge=1, le=MAX_DURATION_MS)]
PositionMs = Annotated[int, Meta(ge=0, le=MAX_DURATION_MS)]
Slug = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"\A[a-z0-9][a-z0-9._-]*\Z")]
"""An open, small vocabulary such as `tv` or `1080p`: stored as LowCardinality."""
Path = Annotated[str, Meta(min_length=1, max_length=2048)]
Label = Annotated[str, Meta(min_length=1, max_length=128)]
FilterValue = Annotated[str, Meta(max_length=256)]


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """The envelope that every event carries on Kafka.

    Attributes:
        event_id: the client's, so that it may repeat a request; else the server's (UUIDv7).
        occurred_at: the client's clock, ms since the epoch.
        received_at: the server's clock when the event was taken, ms since the epoch;
            equal to the Kafka record's timestamp.
        user_id: from the token, never from the body.
        session_id: one sitting in one app.
        schema_version: the version of this type that the record's writer, the API, knew. An app
            may tell its own, and is refused where that is newer.
    """

    VERSION: ClassVar[int] = 1

    event_id: UUID
    occurred_at: EpochMs
    received_at: EpochMs
    user_id: UUID
    session_id: UUID
    schema_version: Annotated[int, Meta(ge=1, le=65535)] = 1


class ViewProgress(Event, frozen=True, kw_only=True, tag="view_progress"):
    """A player's tick: every 30 s of playback, and at pause, seek and stop."""

    content_id: UUID
    position_ms: PositionMs
    duration_ms: DurationMs
    device: Slug


class Click(Event, frozen=True, kw_only=True, tag="click"):
    """A click on a named element of a page."""

    element: Label
    path: Path
    content_id: UUID | None = None


class PageView(Event, frozen=True, kw_only=True, tag="page_view"):
    """A page, sent when it is left, with the time spent on it."""

    path: Path
    dwell_ms: Annotated[int, Meta(ge=0, le=MAX_DURATION_MS)]
    content_id: UUID | None = None


class Search(Event, frozen=True, kw_only=True, tag="search"):
    """A search of the catalogue: filter name to chosen value."""

    filters: Annotated[dict[Slug, FilterValue], Meta(max_length=32)]


class QualityChange(Event, frozen=True, kw_only=True, tag="quality_change"):
    """The player or the viewer changed the video's quality."""

    content_id: UUID
    from_quality: Slug
    to_quality: Slug


class ViewCompleted(Event, frozen=True, kw_only=True, tag="view_completed"):
    """The player reached the credits: the app's own claim, kept apart from what ticks show."""

    content_id: UUID
    duration_ms: DurationMs


class Rating(Event, frozen=True, kw_only=True, tag="rating"):
    """A rating of 0 to 10; null when the viewer takes it back."""

    content_id: UUID
    score: Annotated[int, Meta(ge=0, le=10)] | None


class Bookmark(Event, frozen=True, kw_only=True, tag="bookmark"):
    """A bookmark set (true) or cleared (false)."""

    content_id: UUID
    bookmarked: bool


class Review(Event, frozen=True, kw_only=True, tag="review"):
    """A review's text; null when the viewer takes it back."""

    content_id: UUID
    text: Annotated[str, Meta(min_length=1, max_length=10_000)] | None
