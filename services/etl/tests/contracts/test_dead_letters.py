"""What every place for dead letters promises: one suite for the real one and for the fake."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from samples import NOW_MS, TOPIC_ID
from stores import create_topics, new_prefix
from ugc_etl.adapters.kafka import KafkaDeadLetters
from ugc_etl.adapters.memory import MemoryDeadLetters
from ugc_etl.ports import DeadLetters, OutcomeUnknownError
from ugc_events import DeadLetter, Reason
from ugc_events.dead_letters import MAX_PAYLOAD_BYTES
from ugc_events.registry import DEAD_LETTER_GRACE_MS, DEAD_LETTERS_TOPIC


@dataclass
class Place:
    letters: DeadLetters
    kept: Callable[[], dict[tuple[str, int, int], DeadLetter]]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def place(request) -> Iterator[Place]:
    if request.param == "memory":
        memory = MemoryDeadLetters()
        yield Place(memory, lambda: memory.letters)
        return
    kafka = request.getfixturevalue("kafka")
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=2)
    topic = prefix + DEAD_LETTERS_TOPIC
    letters = KafkaDeadLetters({"bootstrap.servers": kafka.bootstrap_servers}, topic=topic)

    def kept():
        # As compaction leaves it: the last of each key.
        found = {
            record.key: DeadLetter.from_record(record.value, record.headers)
            for record in kafka.client.read_all(topic)
        }
        return {(x.topic_id, x.partition, x.offset): x for x in found.values()}

    yield Place(letters, kept)
    letters.close()


def letter(offset: int, value: bytes | None = b"{", **more) -> DeadLetter:
    return DeadLetter(
        topic="ugc.views.v1", topic_id=TOPIC_ID, partition=1, offset=offset, key=b"k", value=value,
        headers=[("traceparent", b"00-1"), ("empty", None)], timestamp_ms=NOW_MS, field="f",
        reason=Reason.NOT_JSON, detail="it says", first_seen_ms=NOW_MS + 5, **more,
    )  # fmt: skip


def keep_by_s() -> int:
    return int(time.time()) + 60


def test_published_letters_are_kept_whole(place):
    letters = [letter(1), letter(2, None), letter(3, b""), letter(4, b"\xff" * 70_000)]
    place.letters.publish(letters, keep_by_s())
    assert place.kept() == {(TOPIC_ID, 1, x.offset): x for x in letters}


def test_publishing_nothing_is_done_at_once(place):
    place.letters.publish([], keep_by_s())
    assert place.kept() == {}


def test_repeating_a_letter_changes_nothing(place):
    place.letters.publish([letter(1), letter(2)], keep_by_s())
    place.letters.publish([letter(1)], keep_by_s())
    assert place.kept() == {(TOPIC_ID, 1, n): letter(n) for n in (1, 2)}


def test_threads_publish_side_by_side(place):
    with ThreadPoolExecutor(4) as pool:
        batches = [[letter(n * 100 + m) for m in range(50)] for n in range(8)]
        list(pool.map(place.letters.publish, batches, [keep_by_s()] * 8))
    assert len(place.kept()) == 400


@pytest.mark.integration
def test_a_letter_that_comes_after_its_deadline_is_not_kept(kafka):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=1)
    topic = prefix + DEAD_LETTERS_TOPIC
    letters = KafkaDeadLetters({"bootstrap.servers": kafka.bootstrap_servers}, topic=topic)
    late_s = int(time.time() - DEAD_LETTER_GRACE_MS / 1000) - 2
    with pytest.raises(OutcomeUnknownError, match="does not take dead letters"):
        letters.publish([letter(1)], late_s)
    letters.publish([letter(2)], int(time.time()) + 60)
    letters.close()
    [record] = kafka.client.read_all(topic)
    assert DeadLetter.from_record(record.value, record.headers).offset == 2


@pytest.mark.integration
def test_a_letter_as_large_as_a_record_can_be_is_cut_and_taken(kafka):
    prefix = new_prefix()
    create_topics(kafka, prefix, partitions=1)
    topic = prefix + DEAD_LETTERS_TOPIC
    letters = KafkaDeadLetters({"bootstrap.servers": kafka.bootstrap_servers}, topic=topic)
    whole = letter(1, b"\x00\x01" * MAX_PAYLOAD_BYTES)
    letters.publish([whole], keep_by_s())
    letters.close()
    [record] = kafka.client.read_all(topic)
    assert DeadLetter.from_record(record.value, record.headers) == replace(
        whole, value=whole.value[:MAX_PAYLOAD_BYTES], cut_from_bytes=2 * MAX_PAYLOAD_BYTES
    )


def test_without_a_broker_the_outcome_is_unknown(unused_port):
    letters = KafkaDeadLetters(
        {"bootstrap.servers": f"127.0.0.1:{unused_port}"}, topic="t", delivery_timeout_s=1.0
    )
    with pytest.raises(OutcomeUnknownError, match="t does not take dead letters"):
        letters.publish([letter(1)], keep_by_s())
    letters.close()
