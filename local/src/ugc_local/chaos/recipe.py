"""The load as a function: record number n of a seed, with what must become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ugc_events import (
    Bookmark,
    Click,
    Event,
    Family,
    PageView,
    Rating,
    ViewProgress,
    encode_record,
    record_key,
)
from ugc_events.registry import INTERACTIONS, REACTIONS, VIEWS

_USERS, _FILMS = 300, 20
_FILM_MS = 5_400_000
_MINUTE_MS = 60_000
_DEVICES = ("tv", "phone", "tablet", "web")
_POISON_EVERY, _POISON_AT = 97, 13
# What no family takes: no JSON, not UTF-8, no value at all, no such type, a missing field.
_POISON: tuple[bytes | None, ...] = (
    b"{",
    b"\xff\xfe",
    None,
    b'{"type":"nothing"}',
    b'{"type":"view_progress"}',
)
# In every twenty records: views, and some of the others.
_VIEWS, _INTERACTIONS = 15, 18
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Made:
    """One record.

    Attributes:
        family: whose topic it goes to.
        event: None for a record that must become a dead letter.
    """

    family: Family
    event: Event | None
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """Makes records. The same seed and start make the same ones.

    Attributes:
        start_ms: when the first is received, ms since the epoch.
        per_s: how many are received in a second.
    """

    seed: int
    start_ms: int
    per_s: int

    def record(self, number: int) -> Made:
        """The record with this number, from 0 on."""
        place = number % 20
        family = VIEWS if place < _VIEWS else INTERACTIONS if place < _INTERACTIONS else REACTIONS
        if number % _POISON_EVERY == _POISON_AT:
            value = _POISON[number // _POISON_EVERY % len(_POISON)]
            return Made(family, None, b"rogue-%d" % number, value)
        event = self._event(family, number)
        return Made(family, event, record_key(event), encode_record(event))

    def number_of(self, event_id: UUID) -> int | None:
        """The number of the record with this event; None for an event of another recipe."""
        high, low = divmod(event_id.int, 1 << 64)
        return low & ~(1 << 63) if high == self._high else None

    @property
    def _high(self) -> int:
        return (self._mixed(-1) & ~0xF000) | 0x7000  # the version of a UUIDv7

    def _mixed(self, number: int) -> int:
        """64 bits that look like chance (splitmix64)."""
        z = (self.seed * 0x9E3779B97F4A7C15 + number * 0xD1342543DE82EF95 + 1) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def _event(self, family: Family, number: int) -> Event:
        mixed = self._mixed(number)
        received_ms = self.start_ms + number * 1000 // self.per_s
        user, film = mixed % _USERS, (mixed >> 16) % _FILMS
        content_id = UUID(int=(self._mixed(film) << 64) | film)
        envelope: dict[str, Any] = {
            "event_id": UUID(int=(self._high << 64) | (1 << 63) | number),
            # An app's clock is late by minutes, so that the order is another than the offsets'.
            "occurred_at": received_ms - (mixed >> 24) % (5 * _MINUTE_MS),
            "received_at": received_ms,
            "user_id": UUID(int=(self._mixed(-2 - user) << 64) | user),
            "session_id": UUID(int=(mixed << 64) | (1 << 63) | user),
        }
        if family is VIEWS:
            duration_ms = _FILM_MS - film * _MINUTE_MS
            return ViewProgress(
                **envelope,
                content_id=content_id,
                position_ms=(mixed >> 32) % (duration_ms + 1),
                duration_ms=duration_ms,
                device=_DEVICES[(mixed >> 8) % len(_DEVICES)],
            )
        if family is INTERACTIONS:
            path = f"/films/{film}"
            if mixed >> 63:
                return Click(**envelope, element="play", path=path, content_id=content_id)
            return PageView(**envelope, path=path, dwell_ms=(mixed >> 32) % 100_000)
        if mixed >> 63:
            score = (mixed >> 32) % 12
            return Rating(**envelope, content_id=content_id, score=None if score == 11 else score)
        return Bookmark(**envelope, content_id=content_id, bookmarked=bool(mixed >> 62 & 1))
