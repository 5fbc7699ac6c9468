from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from samples import TOPIC_ID, partition
from ugc_etl.protocol import Intent, insert_token
from ugc_etl.records import Partition

INTENT = Intent(
    start=10,
    end=25,
    attempt=1,
    shard=0,
    table="ugc.views",
    decoder="d",
    insert_by_s=7,
    generation=2,
)


def test_a_token_spells_out_what_it_names():
    assert insert_token(partition(3), INTENT) == f"{TOPIC_ID}:3:10-25:ugc.views:2:1"


PLACES = st.tuples(
    st.uuids().map(str), st.integers(0, 99), st.integers(0, 50), st.integers(51, 99),
    st.sampled_from(["ugc.views", "ugc.views_local"]), st.integers(0, 3), st.integers(0, 3),
)  # fmt: skip


@given(st.lists(PLACES, min_size=2, max_size=2, unique=True))
def test_different_inserts_have_different_tokens(both):
    tokens = {
        insert_token(
            Partition("t", topic_id, number),
            replace(
                INTENT, start=start, end=end, table=table, generation=generation, attempt=attempt
            ),
        )
        for topic_id, number, start, end, table, generation, attempt in both
    }
    assert len(tokens) == 2


def test_the_topic_s_name_does_not_matter_and_its_life_does():
    assert insert_token(partition(topic="a"), INTENT) == insert_token(partition(topic="b"), INTENT)
    other_life = partition()._replace(topic_id=str(UUID(int=1)))
    assert insert_token(other_life, INTENT) != insert_token(partition(), INTENT)
