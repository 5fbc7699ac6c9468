import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW_MS, TOPIC_ID, interactions, partition, reactions, view, views
from ugc_etl.decode import decode
from ugc_etl.records import Record
from ugc_etl.rows import block_of
from ugc_events import FAMILIES, Reason, encode_record
from ugc_events.registry import INTERACTIONS, REACTIONS, VIEWS


def records(values, timestamp_ms=NOW_MS):
    return [
        Record(100 + n, timestamp_ms, b"key", value, (("h", b"v"),))
        for n, value in enumerate(values)
    ]


def test_events_become_columns_in_their_order():
    columns, letters = decode(VIEWS, partition(), records(views(4)), 0)
    events = [view(n) for n in range(4)]
    assert letters == []
    assert len(columns) == 4
    assert columns.values["type"] == ["view_progress"] * 4
    for name in ("event_id", "content_id", "position_ms", "device", "occurred_at"):
        assert list(columns.values[name]) == [getattr(event, name) for event in events]
    assert columns.user_ids == [event.user_id.bytes for event in events]
    assert columns.offsets.tolist() == [100, 101, 102, 103]
    assert columns.received_at_ms.tolist() == [NOW_MS] * 4


@pytest.mark.parametrize(
    ("family", "events"),
    [(INTERACTIONS, list(interactions(2))), (REACTIONS, list(reactions(2)))],
)
def test_a_type_without_a_field_has_the_columns_default(family, events):
    columns, letters = decode(family, partition(), records(map(encode_record, events)), 0)
    assert letters == []
    assert columns.values["type"] == [event.__struct_config__.tag for event in events]
    for column in family.columns:
        missing = None if "Nullable" in column.type else {} if "Map" in column.type else ""
        assert list(columns.values[column.name]) == [
            getattr(event, column.name, missing) for event in events
        ]


def test_a_bad_record_becomes_a_dead_letter_and_its_neighbours_rows():
    good = views(3)
    columns, letters = decode(
        VIEWS, partition(2), records([good[0], b"{", good[1], None, good[2]]), 55
    )
    assert columns.offsets.tolist() == [100, 102, 104]
    assert [(x.offset, x.reason, x.value) for x in letters] == [
        (101, Reason.NOT_JSON, b"{"),
        (103, Reason.NOT_JSON, None),
    ]
    letter = letters[0]
    assert (letter.topic, letter.topic_id, letter.partition) == ("ugc.views.v1", TOPIC_ID, 2)
    assert (letter.key, letter.headers, letter.timestamp_ms) == (b"key", (("h", b"v"),), NOW_MS)
    assert letter.first_seen_ms == 55


@pytest.mark.parametrize("timestamp_ms", [-1, 0, 2**62])
def test_a_record_without_a_sane_time_of_its_own_has_no_partition_to_go_to(timestamp_ms):
    columns, [letter] = decode(VIEWS, partition(), records(views(1), timestamp_ms), 0)
    assert len(columns) == 0
    assert (letter.field, letter.reason) == ("timestamp", Reason.OUT_OF_RANGE)


@given(
    st.sampled_from(FAMILIES),
    st.lists(st.none() | st.binary(max_size=30) | st.sampled_from(views(3)), max_size=8),
    st.integers(-1, 2**63 - 1) | st.just(NOW_MS),
)
def test_every_record_is_a_row_or_a_dead_letter_and_a_block_can_be_made(family, values, at_ms):
    taken = records(values, at_ms)
    columns, letters = decode(family, partition(), taken, 0)
    offsets = columns.offsets.tolist() + [letter.offset for letter in letters]
    assert sorted(offsets) == [record.offset for record in taken]
    if taken:
        block = block_of(family, partition(), columns, b"k" * 16)
        assert block.rows == len(columns)
