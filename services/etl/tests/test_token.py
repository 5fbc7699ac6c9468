from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from samples import TOPIC_ID, partition, records, views
from ugc_etl.batch import Batch, BatchPolicy, OpenBatch
from ugc_etl.decode import Decoder
from ugc_etl.records import Partition
from ugc_etl.token import insert_token
from ugc_events.registry import VIEWS


def batch(start: int, end: int, where: Partition = partition()) -> Batch:  # noqa: B008
    read = records(views(end - start), first_offset=start, where=where)
    open_batch = OpenBatch(where, BatchPolicy())
    assert open_batch.add(Decoder(VIEWS).decode(read, 0)[where], 0.0) == []
    return open_batch.close()


def test_a_token_spells_out_what_it_names():
    where = partition(3)
    assert insert_token(batch(10, 25, where), "ugc.views", generation=2, attempt=1) == (
        f"{TOPIC_ID}:3:10-25:ugc.views:2:1"
    )


places = st.tuples(
    st.uuids().map(str), st.integers(0, 99), st.integers(0, 50), st.integers(1, 50),
    st.sampled_from(["ugc.views", "ugc.views_local"]), st.integers(0, 3), st.integers(0, 3),
)  # fmt: skip


@given(st.lists(places, min_size=2, max_size=2, unique=True))
def test_different_inserts_have_different_tokens(both):
    tokens = {
        insert_token(
            batch(start, start + size, Partition("t", topic_id, number)),
            table,
            generation=generation,
            attempt=attempt,
        )
        for topic_id, number, start, size, table, generation, attempt in both
    }
    assert len(tokens) == 2


def test_what_is_read_anew_from_the_same_range_has_the_same_token():
    assert insert_token(batch(0, 9), "t") == insert_token(batch(0, 9), "t")
    other_life = partition()._replace(topic_id=str(UUID(int=1)))
    assert insert_token(batch(0, 9, other_life), "t") != insert_token(batch(0, 9), "t")
