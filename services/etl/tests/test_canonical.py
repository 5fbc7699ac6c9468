"""What has a form. That forms match is tested in `test_decode`, against the contract's decoder."""

from typing import Annotated

import numpy as np
import pytest
from msgspec import Meta, inspect
from record_fuzz import CANONICAL
from ugc_etl.canonical import SLACK_BYTES, form_of
from ugc_etl.native_block import array_type
from ugc_events import FAMILIES, Event, Search, ViewProgress
from ugc_events.registry import ENVELOPE_COLUMNS


def match(form, values):
    buffer = np.frombuffer(b"".join([*values, bytes(form.width + SLACK_BYTES)]), np.uint8)
    sizes = np.array([len(value) for value in values], np.intp)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    return form.match(buffer, starts, ends)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_the_codec_writes_is_canonical_but_for_dicts_and_long_or_foreign_texts(family):
    for event_type in family.types:
        form = form_of(event_type)
        if event_type is Search:
            assert form is None
            continue
        tag = b'{"type":"%s",' % event_type.__struct_config__.tag.encode()
        plain = [v for v in CANONICAL[family.name] if v.startswith(tag) and v.isascii()]
        assert plain
        assert match(form, plain).taken.all()
        assert max(map(len, plain)) <= form.width


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_records_match_nothing_whatever_is_asked_of_them(family):
    for form in filter(None, map(form_of, family.types)):
        assert len(match(form, []).taken) == 0


def test_a_new_field_has_its_place_without_a_line_of_code():
    class Paused(Event, frozen=True, kw_only=True, tag="paused"):
        VERSION = 12
        reason: Annotated[str, Meta(max_length=9)] | None = None
        at_ms: Annotated[int, Meta(ge=0, le=1000)] | None = None
        muted: bool = False

    head = (
        b'{"type":"paused","event_id":"00000000-0000-0000-0000-000000000001",'
        b'"occurred_at":1790000000000,"received_at":1790000000000,'
        b'"user_id":"00000000-0000-0000-0000-000000000002",'
        b'"session_id":"00000000-0000-0000-0000-000000000003",'
    )
    tails = [
        b'"schema_version":12,"reason":"phone","at_ms":7,"muted":true}',
        b'"schema_version":3,"reason":null,"at_ms":null,"muted":false}',
        b'"schema_version":13,"reason":null,"at_ms":null,"muted":false}',
        b'"schema_version":0,"reason":null,"at_ms":null,"muted":false}',
        b'"schema_version":1,"reason":"ten letters","at_ms":null,"muted":false}',
        b'"schema_version":1,"reason":nullx,"at_ms":null,"muted":false}',
        b'"schema_version":1,"reason":"","at_ms":1000,"muted":false}',
        b'"schema_version":1,"reason":"","at_ms":1001,"muted":false}',
    ]
    found = match(form_of(Paused), [head + tail for tail in tails])
    assert found.taken.tolist() == [True, True, False, False, False, False, True, False]
    assert found.values["reason"]["null"].tolist()[:2] == [0, 1]
    assert found.values["reason"]["value"][0] == "phone"
    assert found.values["at_ms"]["value"][[0, 6]].tolist() == [7, 1000]
    assert found.values["muted"][:2].tolist() == [1, 0]


def test_what_a_class_may_refuse_in_code_has_no_form():
    class Judged(Event, frozen=True, kw_only=True, tag="judged"):
        def __post_init__(self):
            raise ValueError

    class Short(Event, frozen=True, kw_only=True, tag="short", omit_defaults=True):
        pass

    class Unbounded(Event, frozen=True, kw_only=True, tag="unbounded"):
        number: int

    class Nested(Event, frozen=True, kw_only=True, tag="nested"):
        names: list[str]

    assert [form_of(t) for t in (Judged, Short, Unbounded, Nested)] == [None] * 4


def test_every_integer_that_a_field_allows_fits_its_column_and_only_nullable_ones_take_null():
    for family in FAMILIES:
        elements = {c.name: array_type(c.type) for c in (*ENVELOPE_COLUMNS, *family.columns)}
        for event_type in family.types:
            for field in inspect.type_info(event_type).fields:
                element, kind = elements[field.name], field.type
                if isinstance(kind, inspect.UnionType):
                    assert element.names or element.hasobject, (event_type, field.name)
                    [kind] = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
                if isinstance(kind, inspect.IntType):
                    limits = np.iinfo(element["value"] if element.names else element)
                    assert limits.min <= kind.ge <= kind.le <= limits.max, (event_type, field.name)


def test_records_that_follow_one_another_do_not_help_each_other():
    [value] = CANONICAL["views"][:1]
    form = form_of(ViewProgress)
    for at in range(len(value)):
        # Together they are two whole records, but each by itself is not.
        assert not match(form, [value[:at], value[at:] + value]).taken.any() or at == 0
