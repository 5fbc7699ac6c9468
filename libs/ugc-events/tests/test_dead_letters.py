from hypothesis import given
from hypothesis import strategies as st
from ugc_events import DeadLetter, Reason
from ugc_events.dead_letters import MAX_PAYLOAD_BYTES

headers = st.lists(st.tuples(st.text(min_size=1, max_size=12), st.none() | st.binary(max_size=20)))
dead_letters = st.builds(
    DeadLetter,
    topic=st.text(min_size=1, max_size=20),
    topic_id=st.uuids().map(str),
    partition=st.integers(0, 1000),
    offset=st.integers(0, 2**63 - 1),
    key=st.none() | st.binary(max_size=40),
    value=st.none() | st.binary(max_size=200),
    headers=headers,
    timestamp_ms=st.integers(0, 2**43),
    field=st.text(max_size=20),
    reason=st.sampled_from(Reason),
    detail=st.text(max_size=40),
    first_seen_ms=st.integers(0, 2**43),
)


@given(dead_letters)
def test_a_dead_letter_survives_its_record(letter: DeadLetter) -> None:
    _, value, said = letter.to_record()
    assert DeadLetter.from_record(value, said) == letter


@given(dead_letters)
def test_the_value_is_the_original_and_never_a_tombstone(letter: DeadLetter) -> None:
    _, value, _ = letter.to_record()
    assert value == (letter.value or b"")


@given(dead_letters)
def test_the_key_is_the_records_place(letter: DeadLetter) -> None:
    key, _, _ = letter.to_record()
    assert key.decode() == f"{letter.topic_id}:{letter.partition}:{letter.offset}"


def test_an_oversized_value_is_cut_and_says_so() -> None:
    size = MAX_PAYLOAD_BYTES + 1
    letter = DeadLetter(
        "t", "id", 0, 1, None, b"x" * size, [], 0, "", Reason.TOO_LARGE, "", first_seen_ms=0
    )
    _, value, said = letter.to_record()
    read = DeadLetter.from_record(value, said)
    assert len(value) == MAX_PAYLOAD_BYTES
    assert read.cut_from_bytes == size
