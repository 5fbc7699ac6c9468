import random
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_fuzz import CANONICAL, all_at_once, almost_records, compare, one_by_one
from samples import NOW_MS, TOPIC_ID, interactions, partition, reactions, records, view, views
from ugc_etl.decode import Decoder
from ugc_etl.records import KeyAndHeaders, Records
from ugc_etl.rows import block_of
from ugc_events import FAMILIES, Reason, ViewProgress, encode_record
from ugc_events.codec import MAX_RECORD_BYTES
from ugc_events.registry import INTERACTIONS, REACTIONS, VIEWS

DECODERS = {family.name: Decoder(family) for family in FAMILIES}


def decode(family, read, now_ms=0):
    return DECODERS[family.name].decode(read, now_ms)


def test_events_become_rows_in_their_order():
    [decoded] = decode(VIEWS, records(views(4))).values()
    events = [view(n) for n in range(4)]
    assert decoded.dead_letters == []
    assert len(decoded) == len(decoded.rows) == 4
    rows = decoded.rows
    assert rows["type"].tolist() == ["view_progress"] * 4
    for name in ("position_ms", "device", "occurred_at"):
        assert rows[name].tolist() == [getattr(event, name) for event in events]
    for name in ("event_id", "user_id", "session_id", "content_id"):
        assert [UUID(bytes=i.tobytes()) for i in rows[name]] == [getattr(e, name) for e in events]
    assert rows["_offset"].tolist() == [100, 101, 102, 103]
    assert rows["_timestamp"].tolist() == [NOW_MS] * 4
    assert decoded.places["offset"].tolist() == [100, 101, 102, 103]
    assert decoded.places["value_bytes"].tolist() == [len(value) for value in views(4)]


@pytest.mark.parametrize("family", FAMILIES)
def test_canonical_records_decode_all_at_once_as_one_by_one(family):
    values = CANONICAL[family.name] * 3
    assert compare(DECODERS[family.name], family, values) == len(values)
    for value in CANONICAL[family.name]:
        assert compare(DECODERS[family.name], family, [value]) == 1
    assert compare(DECODERS[family.name], family, []) == 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(4))
def test_almost_records_decode_all_at_once_as_one_by_one(family, seed):
    values = almost_records(random.Random(seed), family, 1000)
    taken = compare(DECODERS[family.name], family, values)
    assert 100 < taken < 900  # or the comparison says little


@given(st.sampled_from(FAMILIES), st.lists(st.none() | st.binary(max_size=400), max_size=8))
def test_arbitrary_bytes_decode_all_at_once_as_one_by_one(family, values):
    compare(DECODERS[family.name], family, [*values, *CANONICAL[family.name][:2]])


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_texts_of_every_kind_come_through(element, path, review):
    templates = {
        "interactions": b'"element":"play","path":"/films/1"',
        "reactions": b'"text":"' + "☃".encode() + b'"',
    }
    fields = {
        "interactions": {"element": element, "path": path},
        "reactions": {"text": review},
    }
    for family in (INTERACTIONS, REACTIONS):
        named = fields[family.name]
        written = b",".join(
            b'"%s":%s' % (n.encode(), msgspec.json.encode(text)) for n, text in named.items()
        )
        values = [v.replace(templates[family.name], written) for v in CANONICAL[family.name]]
        compare(DECODERS[family.name], family, values)


@pytest.mark.parametrize(
    "other",
    [
        lambda v: v + b"," + v,
        lambda v: v + v,
        lambda v: v + b",{}",
        lambda v: b"[" + v + b"]",
        lambda v: v.replace(b"}", b',"extra":1}'),
        lambda v: b"\xef\xbb\xbf" + v,
        lambda v: v.replace(
            b'"schema_version":1', b'"schema_version":%d' % (ViewProgress.VERSION + 1)
        ),
        lambda v: v + b" " * MAX_RECORD_BYTES,
    ],
)
def test_more_than_a_record_in_a_value_is_a_dead_letter_as_it_is_by_itself(other):
    good = views(5)
    values = [good[0], other(good[1]), good[2]]
    rows, letters = all_at_once(DECODERS["views"], VIEWS, values)
    assert [row[0] for row in rows] == [0, 2]
    assert [letter[0] for letter in letters] == [1]
    assert (rows, letters) == tuple(one_by_one(VIEWS, values))


def test_a_bad_record_becomes_a_dead_letter_and_its_neighbours_rows():
    good = views(3)
    read = records([good[0], b"{", good[1], None, good[2]], where=partition(2))
    [decoded] = decode(VIEWS, read, 55).values()
    assert decoded.rows["_offset"].tolist() == [100, 102, 104]
    assert [(x.offset, x.reason, x.value) for x in decoded.dead_letters] == [
        (101, Reason.NOT_JSON, b"{"),
        (103, Reason.NOT_JSON, None),
    ]
    letter = decoded.dead_letters[0]
    assert (letter.topic, letter.topic_id, letter.partition) == ("ugc.views.v1", TOPIC_ID, 2)
    assert (letter.key, letter.headers, letter.timestamp_ms) == (b"key", (("h", b"v"),), NOW_MS)
    assert letter.first_seen_ms == 55


@pytest.mark.parametrize("timestamp_ms", [-1, 0, 2**62])
def test_a_record_without_a_sane_time_of_its_own_has_no_partition_to_go_to(timestamp_ms):
    read = records([*views(1), b"{"], timestamp_ms)
    [decoded] = decode(VIEWS, read).values()
    assert len(decoded.rows) == 0
    late, broken = decoded.dead_letters
    assert (late.field, late.reason) == ("timestamp", Reason.OUT_OF_RANGE)
    assert broken.reason == Reason.NOT_JSON


def test_records_of_many_partitions_go_to_their_own():
    values = [value for pair in zip(views(300), [b"{"] * 300, strict=True) for value in pair]
    owners = np.array([(n // 3) % 7 for n in range(600)])
    offsets = np.arange(600) * 2
    where = [partition(n) for n in range(7)]
    read = Records(
        partitions=where,
        owners=owners,
        offsets=offsets,
        timestamps_ms=np.full(600, NOW_MS),
        values=values,
        key_and_headers=lambda place: KeyAndHeaders(b"%d" % place, ()),
    )
    found = decode(VIEWS, read)
    assert list(found) == where
    for number, decoded in enumerate(found.values()):
        mine = [n for n in range(600) if owners[n] == number]
        assert decoded.places["offset"].tolist() == [2 * n for n in mine]
        assert decoded.rows["_offset"].tolist() == [2 * n for n in mine if n % 2 == 0]
        assert [x.offset for x in decoded.dead_letters] == [2 * n for n in mine if n % 2]
        assert [x.key for x in decoded.dead_letters] == [b"%d" % n for n in mine if n % 2]
        assert {x.partition for x in decoded.dead_letters} == {number}


def test_a_dead_letter_counts_with_all_that_it_holds_and_with_the_copy_that_is_sent():
    big = records([b"x" * 50_000])
    [decoded] = decode(VIEWS, big).values()
    assert 100_000 < decoded.places["held_bytes"][0] < 110_000
    read = Records(
        [partition()], np.zeros(1, np.intp), np.array([1]), np.array([NOW_MS]), [b""],
        lambda _: KeyAndHeaders(b"k" * 10_000, [("h", b"v" * 20_000)]),
    )  # fmt: skip
    [decoded] = decode(VIEWS, read).values()
    assert 60_000 < decoded.places["held_bytes"][0] < 70_000
    assert decoded.places["value_bytes"][0] == 0


@given(
    st.sampled_from(FAMILIES),
    st.lists(st.none() | st.binary(max_size=30) | st.sampled_from(views(3)), max_size=8),
    st.integers(-1, 2**63 - 1) | st.just(NOW_MS),
)
def test_every_record_is_a_row_or_a_dead_letter_and_a_block_can_be_made(family, values, at_ms):
    [decoded] = decode(family, records(values, at_ms)).values()
    offsets = decoded.rows["_offset"].tolist() + [letter.offset for letter in decoded.dead_letters]
    assert sorted(offsets) == list(range(100, 100 + len(values)))
    block = block_of(family, partition(), decoded.rows, b"k" * 16)
    assert block.rows == len(decoded.rows)


@pytest.mark.parametrize(
    ("family", "events"),
    [
        (VIEWS, [view(n) for n in range(5)]),
        (INTERACTIONS, list(interactions(3))),
        (REACTIONS, list(reactions(3))),
    ],
)
def test_a_block_is_the_same_whether_its_rows_came_at_once_or_one_by_one(family, events):
    values = [encode_record(event) for event in events]
    spaced = [value.replace(b",", b" ,", 1) for value in values]
    blocks = []
    for spelling in (values, spaced):
        [decoded] = decode(family, records(spelling)).values()
        assert decoded.dead_letters == []
        blocks.append(block_of(family, partition(), decoded.rows, b"k" * 16))
    assert blocks[0] == blocks[1]
