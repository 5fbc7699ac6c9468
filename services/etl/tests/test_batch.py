from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW_MS, partition
from ugc_etl.batch import Batch, BatchPolicy, OpenBatch, month_of
from ugc_etl.records import Record

MONTHS = [month_of(NOW_MS)[0] - 1, month_of(NOW_MS)[0], NOW_MS, month_of(NOW_MS)[1]]


@st.composite
def logs(draw):
    """Records with gaps between offsets, in chunks as polls give them."""
    offset = draw(st.integers(0, 2**40))
    chunks = []
    for size in draw(st.lists(st.integers(0, 8), max_size=6)):
        chunk = []
        for _ in range(size):
            value = draw(st.none() | st.binary(max_size=40))
            chunk.append(Record(offset, draw(st.sampled_from(MONTHS)), None, value, ()))
            offset += draw(st.integers(1, 3))
        chunks.append(chunk)
    return chunks


@given(chunks=logs(), max_rows=st.integers(1, 7), max_bytes=st.integers(1, 60))
def test_cutting_keeps_every_record_once_in_order_and_keeps_the_limits(chunks, max_rows, max_bytes):
    policy = BatchPolicy(max_rows=max_rows, max_bytes=max_bytes)
    open_batch = OpenBatch(partition(), policy)
    batches = [batch for chunk in chunks for batch in open_batch.add(chunk, 0.0)]
    if len(open_batch):
        batches.append(open_batch.close())
    assert [r for b in batches for r in b.records] == [r for chunk in chunks for r in chunk]
    for batch in batches:
        assert 1 <= len(batch.records) <= max_rows
        assert batch.value_bytes == sum(len(r.value or b"") for r in batch.records)
        assert batch.value_bytes <= max_bytes or len(batch.records) == 1
        assert len({month_of(r.timestamp_ms) for r in batch.records}) == 1
    for earlier, later in pairwise(batches):
        assert earlier.end <= later.start
        full = len(earlier.records) == max_rows
        next_bytes = len(later.records[0].value or b"")
        months = {month_of(r.timestamp_ms) for r in (earlier.records[0], later.records[0])}
        assert (
            full
            or earlier.value_bytes + next_bytes > max_bytes
            or len(months) == 2
            or (earlier.value_bytes >= max_bytes)
        )


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
    open_batch.add([Record(5, NOW_MS, None, b"x", ())], 100.0)
    open_batch.add([Record(6, NOW_MS, None, b"x", ())], 100.4)
    assert not open_batch.is_due(100.49, 0.5)
    assert open_batch.is_due(100.5, 0.5)
    batch = open_batch.close()
    assert (batch.start, batch.end) == (5, 7)
    open_batch.add([Record(7, NOW_MS, None, b"x", ())], 101.0)
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


def test_a_batch_knows_its_range_with_holes_in_it():
    records = tuple(Record(offset, NOW_MS, None, b"", ()) for offset in (3, 4, 9))
    assert (Batch(partition(), records, 0).start, Batch(partition(), records, 0).end) == (3, 10)
