import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_etl.protocol import Foreign, Intent, Kind, Mark, decode_metadata, encode_metadata
from ugc_etl.protocol.metadata import MAX_BYTES

OFFSETS = st.integers(0, 2**63 - 2)
INTENTS = st.builds(
    Intent,
    start=st.just(0),
    end=st.integers(1, 10**6),
    attempt=st.integers(0, 2**16 - 1),
    shard=st.integers(0, 1000),
    table=st.text(max_size=200),
    decoder=st.text(max_size=20),
    insert_by_s=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(Kind),
    generation=st.integers(0, 2**32 - 1),
)
MARKS = st.builds(
    Mark,
    topic_id=st.uuids().map(str),
    offset=st.just(0),
    decoder=st.text(max_size=20),
    intent=st.none() | INTENTS,
    recover_until=st.none() | OFFSETS,
    hunt_until=st.none() | OFFSETS,
)


@given(MARKS)
def test_a_mark_comes_back_as_it_was(mark):
    assert decode_metadata(mark.offset, encode_metadata(mark)) == mark


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_metadata_is_foreign(nothing):
    found = decode_metadata(5, nothing)
    assert isinstance(found, Foreign)
    assert found.offset == 5
    assert "some other tool" in found.sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("connect", "not this software's"),
        ('{"v": 2, "plan": {}}', "version 2"),
        ('{"v": 1, "topic_id": "t"}', "damaged"),
        ('{"v": 1, "topic_id": "t", "decoder": "d", "surprise": 1}', "damaged"),
        ('{"v": "1", "topic_id": "t", "decoder": "d"}', "version 1"),
        ("[1]", "not this software's"),
    ],
)
def test_anything_else_is_foreign(text, sentence):
    found = decode_metadata(5, text)
    assert isinstance(found, Foreign)
    assert sentence in found.sentence


def test_metadata_copied_to_an_offset_behind_its_intent_is_foreign():
    intent = Intent(start=5, end=9, attempt=0, shard=0, table="t", decoder="d", insert_by_s=1)
    text = encode_metadata(Mark(topic_id="t", offset=5, decoder="d", intent=intent))
    assert isinstance(decode_metadata(8, text), Mark)
    assert isinstance(decode_metadata(9, text), Foreign)


def test_what_kafka_would_not_take_is_refused_at_once():
    intent = Intent(
        start=0, end=1, attempt=0, shard=0, table="t" * MAX_BYTES, decoder="d", insert_by_s=1
    )
    with pytest.raises(ValueError, match="4096"):
        encode_metadata(Mark(topic_id="t", offset=0, decoder="d", intent=intent))
