"""Records as each version of each type wrote them: what Kafka and the tables hold for years.

`records_of_every_version.jsonl` has one for each version of each type. A line is only ever added.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from event_strategies import EVENT_TYPES
from ugc_events import Event, decode_record, family_of

LINES = Path(__file__).with_name("records_of_every_version.jsonl").read_bytes().splitlines()


def record_of(event_type: type[Event], version: int) -> dict[str, Any]:
    """The record that this version of the type wrote."""
    tag = event_type.__struct_config__.tag
    records = [msgspec.json.decode(line) for line in LINES]
    (found,) = [r for r in records if (r["type"], r["schema_version"]) == (tag, version)]
    return dict(found)


VERSIONS = [(t, version) for t in EVENT_TYPES for version in range(1, t.VERSION + 1)]


@pytest.mark.parametrize(("event_type", "version"), VERSIONS)
def test_a_record_of_every_version_decodes_and_lacks_only_what_came_later(
    event_type: type[Event], version: int
) -> None:
    record = record_of(event_type, version)
    event = decode_record(family_of(event_type), msgspec.json.encode(record))
    assert isinstance(event, event_type)
    read = msgspec.to_builtins(event)
    assert {name: read[name] for name in record} == record
    assert {read[name] for name in read.keys() - record.keys()} <= {None}


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda t: t.__name__)
def test_a_field_is_only_added_and_under_a_new_version(event_type: type[Event]) -> None:
    written = [record_of(event_type, v).keys() for v in range(1, event_type.VERSION + 1)]
    for earlier, later in pairwise(written):
        assert earlier < later
    fields = {field.encode_name for field in msgspec.structs.fields(event_type)}
    assert written[-1] == fields | {"type"}, "a field without a version: raise VERSION, add a line"


def test_every_record_is_of_a_version_that_is_known() -> None:
    assert len(LINES) == len(VERSIONS)
