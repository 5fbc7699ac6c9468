"""Hypothesis strategies for valid events of every type, derived from the types themselves."""

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect
from ugc_events import FAMILIES, Event, ViewProgress

EVENT_TYPES = [event_type for family in FAMILIES for event_type in family.types]

_MOST_TEXT = 64
_MOST_ENTRIES = 5


def values_of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values that the annotation allows; of what it leaves open, small ones."""
    match kind:
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.UUIDType():
            return st.uuids()
        case inspect.IntType(ge=least, le=most):
            return st.integers(least, most)
        case inspect.StrType(pattern=str(pattern), min_length=least, max_length=most):
            texts = st.from_regex(pattern)
            return texts.filter(lambda text: (least or 0) <= len(text) <= (most or len(text)))
        case inspect.StrType(min_length=least, max_length=most):
            return st.text(min_size=least or 0, max_size=min(most or _MOST_TEXT, _MOST_TEXT))
        case inspect.DictType(key_type=keys, value_type=values):
            return st.dictionaries(values_of(keys), values_of(values), max_size=_MOST_ENTRIES)
        case inspect.UnionType(types=types):
            return st.one_of([values_of(one) for one in types])
        case _:
            raise NotImplementedError(f"no values of {kind}: say how to make them here")


_FIELDS = {
    event_type: {
        field.name: values_of(inspect.type_info(field.type))
        for field in msgspec.structs.fields(event_type)
    }
    for event_type in EVENT_TYPES
}


@st.composite
def events(draw: st.DrawFn, event_type: type[Event] | None = None) -> Event:
    """Any valid event, of one type or of any, as any version up to now wrote it."""
    chosen = event_type or draw(st.sampled_from(EVENT_TYPES))
    values = {name: draw(strategy) for name, strategy in _FIELDS[chosen].items()}
    values["schema_version"] = draw(st.integers(1, chosen.VERSION))
    values["occurred_at"] = min(values["occurred_at"], values["received_at"])
    if chosen is ViewProgress:
        values["position_ms"] = min(values["position_ms"], values["duration_ms"])
    return chosen(**values)
