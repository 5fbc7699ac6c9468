"""Hypothesis strategies for valid events of every type, derived from the types themselves."""

from typing import Any

import msgspec
from hypothesis import strategies as st
from ugc_events import FAMILIES, Event, ViewProgress
from ugc_events.events import EARLIEST_MS, LATEST_MS, MAX_DURATION_MS

EVENT_TYPES = [event_type for family in FAMILIES for event_type in family.types]

slugs = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,31}\Z")
texts = st.text(min_size=1, max_size=64)
_by_name: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.uuids(),
    "user_id": st.uuids(),
    "session_id": st.uuids(),
    "schema_version": st.just(1),
    "received_at": st.integers(EARLIEST_MS, LATEST_MS),
    "position_ms": st.integers(0, MAX_DURATION_MS),
    "duration_ms": st.integers(1, MAX_DURATION_MS),
    "dwell_ms": st.integers(0, MAX_DURATION_MS),
    "device": slugs,
    "from_quality": slugs,
    "to_quality": slugs,
    "path": texts,
    "element": texts,
    "filters": st.dictionaries(slugs, st.text(max_size=32), max_size=5),
    "score": st.none() | st.integers(0, 10),
    "bookmarked": st.booleans(),
    "text": st.none() | texts,
}


@st.composite
def events(draw: st.DrawFn, event_type: type[Event] | None = None) -> Event:
    """Any valid event, of one type or of any."""
    chosen = event_type or draw(st.sampled_from(EVENT_TYPES))
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(chosen):
        if field.name == "content_id":
            values["content_id"] = draw(st.uuids() if field.required else st.none() | st.uuids())
        elif field.name != "occurred_at":
            values[field.name] = draw(_by_name[field.name])
    values["occurred_at"] = draw(st.integers(EARLIEST_MS, values["received_at"]))
    if chosen is ViewProgress:
        values["position_ms"] = min(values["position_ms"], values["duration_ms"])
    return chosen(**values)
