"""The marts against the truth. What they should hold follows docs/metrics.md, not their SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from ugc_events import Bookmark, Event, Rating, ViewProgress

from ugc_local.demo.analyst import Analyst

_MINUTE_MS = 60_000
_SLOT_MS = 15 * _MINUTE_MS

Figures = Mapping[tuple[str, ...], tuple[Any, ...]]

# Marts know viewers by a pseudonym; the raw rows know both.
_VIEWERS = "(SELECT DISTINCT viewer, user_id FROM ugc.{table})"
_VIEWINGS = f"""
SELECT content_id, user_id, watched, duration_ms, first_ms, tick FROM (
    SELECT content_id, viewer, groupBitmapMerge(watched) AS watched,
        max(duration_ms) AS duration_ms, toUnixTimestamp64Milli(min(first_seen)) AS first_ms,
        [toUnixTimestamp64Milli(tupleElement(max(last), 1)), tupleElement(max(last), 2),
         tupleElement(max(last), 3)] AS tick
    FROM ugc.viewings GROUP BY content_id, viewer
) AS mart LEFT JOIN {_VIEWERS.format(table="views")} AS known USING (viewer)
"""
_AUDIENCE = """
SELECT toUnixTimestamp(slot) AS slot_s, uniqMerge(viewers) AS viewers
FROM ugc.audience GROUP BY slot
"""
_REACTIONS = f"""
SELECT type, content_id, user_id, value, last_ms FROM (
    SELECT type, content_id, viewer, tupleElement(max(last), 3) AS value,
        toUnixTimestamp64Milli(tupleElement(max(last), 1)) AS last_ms
    FROM ugc.current_reactions GROUP BY type, content_id, viewer
) AS mart LEFT JOIN {_VIEWERS.format(table="reactions")} AS known USING (viewer)
"""


def expected(events: Iterable[Event]) -> Figures:
    """What the marts hold after these events."""
    watched: defaultdict[tuple[UUID, UUID], set[int]] = defaultdict(set)
    spans: dict[tuple[UUID, UUID], tuple[int, int, tuple[int, int, int]]] = {}
    slots: defaultdict[int, set[UUID]] = defaultdict(set)
    reactions: dict[tuple[str, UUID, UUID], tuple[int, bytes, int]] = {}
    for event in events:
        at_ms = event.occurred_at
        if isinstance(event, ViewProgress):
            who = (event.content_id, event.user_id)
            bucket = min(event.position_ms // _MINUTE_MS, (event.duration_ms - 1) // _MINUTE_MS)
            tick = (at_ms, event.position_ms, bucket)
            duration_ms, first_ms, last = spans.get(who, (0, at_ms, tick))
            spans[who] = max(duration_ms, event.duration_ms), min(first_ms, at_ms), max(last, tick)
            watched[who].add(bucket)
            slots[at_ms // _SLOT_MS].add(event.user_id)
        elif isinstance(event, Rating | Bookmark):
            given = event.score if isinstance(event, Rating) else event.bookmarked
            reacted = (str(event.__struct_config__.tag), event.content_id, event.user_id)
            latest = (at_ms, event.event_id.bytes, -1 if given is None else int(given))
            reactions[reacted] = max(reactions.get(reacted, latest), latest)
    figures: dict[tuple[str, ...], tuple[Any, ...]] = {}
    for who, (duration_ms, first_ms, last) in spans.items():
        name = ("viewing", *map(str, who))
        figures[name] = (len(watched[who]), duration_ms, first_ms, list(last))
    for slot, viewers in slots.items():
        figures["audience", str(slot * _SLOT_MS // 1000)] = (len(viewers),)
    for reacted, (at_ms, _, value) in reactions.items():
        figures[("reaction", *map(str, reacted))] = (value, at_ms)
    return figures


def found(admin: Analyst) -> Figures:
    """What the marts hold. Raises QueryError."""
    figures: dict[tuple[str, ...], tuple[Any, ...]] = {}
    for row in admin.ask(_VIEWINGS):
        content_id, user_id, *values = row.values()
        figures["viewing", content_id, user_id] = tuple(values)
    for row in admin.ask(_AUDIENCE):
        figures["audience", str(row["slot_s"])] = (row["viewers"],)
    for row in admin.ask(_REACTIONS):
        kind, content_id, user_id, *values = row.values()
        figures["reaction", kind, content_id, user_id] = tuple(values)
    return figures


def differences(should: Figures, are: Figures) -> list[str]:
    """Every figure that differs, in words."""
    return [
        f"mart: {' / '.join(name)}: expected {should.get(name)}, found {are.get(name)}"
        for name in sorted(should.keys() | are.keys())
        if should.get(name) != are.get(name)
    ]
