from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW_MS, partition, views
from ugc_etl.adapters.memory import records_of
from ugc_etl.batch import BatchPolicy, OpenBatch, month_of
from ugc_etl.decode import Decoder
from ugc_etl.operations.ports import StoredRecord
from ugc_events.registry import VIEWS

MONTHS = [month_of(NOW_MS)[0] - 1, month_of(NOW_MS)[0], NOW_MS, month_of(NOW_MS)[1]]


DECODER = Decoder(VIEWS)


def decoded(stored):
    return DECODER.decode(records_of(partition(), stored), 0)[partition()]


def places_of(batch):
    """Offset, and value where it is a row's event id or a dead letter's value."""
    rows = [(int(row["_offset"]), row["event_id"].tobytes()) for row in batch.rows.cells]
    return sorted(rows + [(letter.offset, letter.value) for letter in batch.dead_letters])


def expected_of(stored):
    return [(r.offset, IDS.get(r.value, r.value)) for r in stored]


VIEWS_3 = views(3)
IDS = {value: UUID(int=n + 1).bytes for n, value in enumerate(VIEWS_3)}


@st.composite
def logs(draw):
    """Records with gaps between offsets, in chunks as polls give them."""
    offset = draw(st.integers(0, 2**40))
    chunks = []
    for size in draw(st.lists(st.integers(1, 8), max_size=6)):
        chunk = []
        for _ in range(size):
            value = draw(st.none() | st.binary(max_size=40) | st.sampled_from(VIEWS_3))
            chunk.append(StoredRecord(offset, draw(st.sampled_from(MONTHS)), None, value, ()))
            offset += draw(st.integers(1, 3))
        chunks.append(chunk)
    return chunks


@given(chunks=logs(), max_rows=st.integers(1, 7), max_bytes=st.integers(1, 900))
def test_cutting_keeps_every_record_once_in_order_and_keeps_the_limits(chunks, max_rows, max_bytes):
    policy = BatchPolicy(max_rows=max_rows, max_bytes=max_bytes)
    open_batch = OpenBatch(partition(), policy)
    batches = [batch for chunk in chunks for batch in open_batch.add(decoded(chunk), 0.0)]
    if len(open_batch):
        batches.append(open_batch.close())
    stored = {record.offset: record for chunk in chunks for record in chunk}
    assert [place for b in batches for place in places_of(b)] == expected_of(stored.values())
    within = [[r for r in stored.values() if b.start <= r.offset < b.end] for b in batches]
    for batch, own in zip(batches, within, strict=True):
        assert (batch.start, batch.end) == (own[0].offset, own[-1].offset + 1)
        assert 1 <= len(batch) == len(own) <= max_rows
        assert batch.value_bytes == sum(len(r.value or b"") for r in own)
        assert batch.value_bytes <= max_bytes or len(own) == 1
        assert batch.held_bytes > 0
        assert len({month_of(r.timestamp_ms) for r in own}) == 1
    for (earlier, before), (_, after) in pairwise(zip(batches, within, strict=True)):
        months = {month_of(before[0].timestamp_ms), month_of(after[0].timestamp_ms)}
        assert (
            len(earlier) == max_rows
            or earlier.value_bytes + len(after[0].value or b"") > max_bytes
            or len(months) == 2
            or earlier.value_bytes >= max_bytes
        )


@given(chunks=logs(), data=st.data())
def test_a_batch_can_be_cut_smaller(chunks, data):
    open_batch = OpenBatch(partition(), BatchPolicy())
    batches = [batch for chunk in chunks for batch in open_batch.add(decoded(chunk), 0.0)]
    if len(open_batch):
        batches.append(open_batch.close())
    for batch in batches:
        middle = data.draw(st.integers(batch.start, batch.end))
        halves = batch.between(batch.start, middle), batch.between(middle, batch.end)
        assert (halves[0].end, halves[1].start) == (middle, middle)
        assert sum(map(len, halves)) == len(batch)
        assert [place for half in halves for place in places_of(half)] == places_of(batch)


@given(st.integers(0, 253_370_764_799_999))
def test_a_month_is_that_of_the_calendar(timestamp_ms):
    first, following = month_of(timestamp_ms)
    assert first <= timestamp_ms < following
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    at, start, end = (epoch + timedelta(milliseconds=ms) for ms in (timestamp_ms, first, following))
    assert (start.year, start.month) == (at.year, at.month)
    assert (start.day, start.hour, start.minute, start.second, start.microsecond) == (1, 0, 0, 0, 0)
    assert (end - timedelta(milliseconds=1)).month == at.month
    assert end.day == 1


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_timestamp_has_a_month(timestamp_ms):
    first, following = month_of(timestamp_ms)
    assert first <= timestamp_ms < following


def test_a_batch_is_due_at_its_age_and_never_when_empty():
    open_batch = OpenBatch(partition(), BatchPolicy())
    assert not open_batch.is_due(1e9, 0.0)
    open_batch.add(decoded([StoredRecord(5, NOW_MS, None, b"x", ())]), 100.0)
    open_batch.add(decoded([StoredRecord(6, NOW_MS, None, b"x", ())]), 100.4)
    assert not open_batch.is_due(100.49, 0.5)
    assert open_batch.is_due(100.5, 0.5)
    batch = open_batch.close()
    assert (batch.start, batch.end) == (5, 7)
    open_batch.add(decoded([StoredRecord(7, NOW_MS, None, b"x", ())]), 101.0)
    assert not open_batch.is_due(101.4, 0.5)


def test_age_stretches_with_the_partitions():
    policy = BatchPolicy(max_age_ms=500, max_batches_per_s=10)
    assert [policy.age_s(n) for n in (0, 1, 5, 12, 100)] == [0.5, 0.5, 0.5, 1.2, 10.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_rows": 0},
        {"max_rows": 1_000_001},
        {"max_bytes": 0},
        {"max_age_ms": 0},
        {"max_batches_per_s": 0},
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(wrong):
    with pytest.raises(ValueError, match="batch"):
        BatchPolicy(**wrong)
