from dataclasses import replace

from samples import NOW_MS, TOPIC_ID
from ugc_etl.operations.dead_letters import Choice, chosen, inspection, listing, whole
from ugc_etl.operations.memory import MemoryKafkaLog
from ugc_events import DeadLetter, Reason

LETTER = DeadLetter(
    topic="ugc.views.v1", topic_id=TOPIC_ID, partition=1, offset=0, key=b"user:film",
    value=b'{"type":"x"}', headers=[("traceparent", b"00-ab"), ("h", None)], timestamp_ms=NOW_MS,
    field="type", reason=Reason.UNKNOWN_TYPE, detail="no such type", first_seen_ms=NOW_MS,
)  # fmt: skip


def kept(*letters):
    kafka = MemoryKafkaLog()
    kafka.publish("letters", letters, 1_790_000_000)
    return kafka


def offsets(records):
    return [record.letter.offset for record in records]


def test_the_last_of_a_place_counts_unless_it_was_withdrawn():
    kafka = kept(*(replace(LETTER, offset=offset) for offset in (5, 3, 4)))
    [third] = chosen(kafka, "letters", Choice(offset=3))
    kafka.withdraw("letters", [third], 1_790_000_000)
    kafka.publish("letters", [replace(LETTER, offset=4, reason=Reason.NOT_JSON)], 1_790_000_000)
    found = chosen(kafka, "letters", Choice())
    assert offsets(found) == [4, 5]
    assert found[0].letter.reason is Reason.NOT_JSON
    assert chosen(kafka, "letters", Choice(reason=Reason.UNKNOWN_TYPE, offset=4)) == []


def test_letters_are_chosen_by_topic_reason_and_time():
    kafka = kept(
        LETTER,
        replace(LETTER, offset=1, topic="other"),
        replace(LETTER, offset=2, reason=Reason.MISSING),
        replace(LETTER, offset=3, first_seen_ms=NOW_MS + 1),
    )

    def chosen_by(**choice):
        return sorted(offsets(chosen(kafka, "letters", Choice(**choice))))

    assert chosen_by(topic="ugc.views.v1") == [0, 2, 3]
    assert chosen_by(reason=Reason.UNKNOWN_TYPE) == [0, 1, 3]
    assert chosen_by(since_ms=NOW_MS + 1) == [3]
    assert chosen_by(until_ms=NOW_MS + 1) == [0, 1, 2]
    assert chosen_by(partition=2) == []


def test_values_come_in_pages():
    kafka = kept(*(replace(LETTER, offset=offset) for offset in range(5)))
    records = chosen(kafka, "letters", Choice())
    assert {record.letter.value for record in records} == {None}
    pages = list(whole(kafka, "letters", records[1:], page=3))
    assert [offsets(page) for page in pages] == [[1, 2, 3], [4]]
    assert pages[0][0].letter == replace(LETTER, offset=1)


def test_the_list_is_cut_and_counts_by_reason():
    kafka = kept(LETTER, *(replace(LETTER, offset=n, reason=Reason.MISSING) for n in (1, 2)))
    lines = listing(chosen(kafka, "letters", Choice()), most=1).splitlines()
    assert lines[1].startswith("ugc.views.v1[1] 0  2026-09-21 14:13:20  unknown_type  type   12")
    assert lines[2:] == [
        "and 2 more: --limit shows them",
        "3 dead letters: 2 missing, 1 unknown_type",
    ]
    assert listing([], 1).splitlines()[-1] == "0 dead letters"


def test_an_inspection_shows_text_as_text_and_bytes_in_hex():
    shown = inspection(LETTER)
    assert "key         user:film" in shown
    assert "header      traceparent: 00-ab" in shown
    assert "header      h: null" in shown
    assert shown.endswith('\n\n{"type":"x"}')
    assert inspection(replace(LETTER, value=b"\xff\x00A")).endswith(
        "00000000  ff 00 41                                         ..A"
    )
    assert "value       null" in inspection(replace(LETTER, value=None))
    cut = inspection(replace(LETTER, cut_from_bytes=2_000_000, timestamp_ms=10**18))
    assert "the first 12 of 2000000 bytes" in cut
    assert "timestamp   1000000000000000000 ms" in cut
