"""What a course does next. That it is right under all schedules is the simulation's matter."""

from dataclasses import replace

import pytest
from ugc_etl.protocol import Course, Foreign, Kind, Mark, Ranges, Rules, Timing
from ugc_etl.protocol.actions import (
    Cancel,
    Commit,
    Deliver,
    ReadBack,
    RebuildMarts,
    Reread,
    Skip,
    Stop,
    Survey,
    Wait,
)
from ugc_etl.protocol.facts import (
    Assigned,
    Committed,
    Cut,
    Delivered,
    Evidence,
    Gone,
    Held,
    Performed,
    Refusal,
    Refused,
    Surveyed,
    Unsure,
)
from ugc_etl.records import Partition

PARTITION = Partition("views", "life", 3)
NOW_S = 1000.0
DEADLINE_S = 60
MARK = Mark(topic_id="life", offset=100, decoder="d1")
NOTHING = Evidence(server_now_s=NOW_S, running=False, rows=0, others=False)


class Driver:
    """A course and its clock."""

    def __init__(self, found=MARK, earliest=0, end=1000, *, decoder="d1", shards=2):
        self.now_s = NOW_S
        rules = Rules(timing=Timing(deadline_s=DEADLINE_S), decoder=decoder, shards=shards)
        self.course = Course(PARTITION, "ugc.views", rules)
        self.hear(Assigned(found, earliest, end))

    def hear(self, fact):
        self.course.hear(fact, self.now_s)

    def next(self, kind=None):
        action = self.course.next(self.now_s)
        assert kind is None or isinstance(action, kind), action
        return action

    def past(self, intent):
        self.now_s = intent.insert_by_s + 1.5
        return replace(NOTHING, server_now_s=self.now_s)


def idle(**arguments):
    driver = Driver(**arguments)
    driver.next(ReadBack)
    driver.hear(NOTHING)
    assert driver.next() is None
    return driver


def delivering(end=110, **arguments):
    driver = idle(**arguments)
    driver.hear(Cut(end))
    intent = driver.next(Commit).mark.intent
    driver.hear(Committed())
    assert driver.next(Deliver).intent == intent
    return driver, intent


def in_doubt(end=110):
    driver, intent = delivering(end)
    driver.hear(Unsure())
    over = driver.past(intent)
    assert driver.next(ReadBack).intent == intent
    return driver, intent, over


def test_a_batch_is_declared_delivered_and_completed():
    driver, intent = delivering()
    assert (intent.start, intent.end, intent.attempt, intent.kind) == (100, 110, 0, Kind.NORMAL)
    assert (intent.shard, intent.table, intent.decoder) == (1, "ugc.views", "d1")
    assert intent.insert_by_s == NOW_S + DEADLINE_S
    driver.hear(Delivered())
    assert driver.next(Commit).mark == replace(MARK, offset=110)
    driver.hear(Committed())
    assert driver.next() is None
    assert driver.course.offset == 110


def test_the_commit_that_completes_declares_the_next():
    driver, _ = delivering()
    driver.hear(Delivered())
    driver.hear(Cut(120))
    mark = driver.next(Commit).mark
    assert (mark.offset, mark.intent.start, mark.intent.end) == (110, 110, 120)


def test_nothing_is_sent_before_the_declaration_is_acknowledged():
    driver = idle()
    driver.hear(Cut(110))
    commit = driver.next(Commit)
    driver.now_s += 5
    assert driver.next(Commit) == commit
    assert not driver.course.wants_batch


def test_an_unknown_outcome_repeats_the_intent_until_the_margin():
    driver, intent = delivering()
    driver.hear(Unsure())
    assert driver.next(Deliver).intent == intent
    driver.now_s = intent.insert_by_s - 5.0
    assert driver.next(Wait).until_s == intent.insert_by_s + 1


def test_what_landed_without_an_acknowledgement_gets_its_marts_and_is_completed():
    driver, intent, over = in_doubt()
    driver.hear(replace(over, rows=1))
    rebuild = driver.next(RebuildMarts)
    assert (rebuild.start, rebuild.end) == (intent.start, intent.end)
    driver.hear(Performed())
    assert driver.next(Commit).mark == replace(MARK, offset=110)


def test_what_never_lands_is_declared_anew_with_another_attempt_and_deadline():
    driver, intent, over = in_doubt()
    driver.hear(over)
    again = driver.next(Commit).mark.intent
    assert again == replace(intent, attempt=1, insert_by_s=int(driver.now_s) + DEADLINE_S)


def test_the_server_s_clock_decides():
    driver, intent, over = in_doubt()
    driver.hear(replace(over, server_now_s=intent.insert_by_s + 0.9))
    assert driver.next(Wait).until_s == pytest.approx(driver.now_s + 0.1)


def test_a_running_insert_is_killed_and_asked_for_again():
    driver, intent, over = in_doubt()
    driver.hear(replace(over, running=True))
    driver.next(Cancel)
    driver.hear(Performed())
    assert driver.next(ReadBack).intent == intent


def test_a_pending_intent_in_time_is_read_and_sent_again():
    _, intent = delivering()
    driver = Driver(replace(MARK, intent=intent))
    driver.next(ReadBack)
    driver.hear(NOTHING)
    reread = driver.next(Reread)
    assert (reread.start, reread.end) == (100, 110)
    driver.hear(Held())
    assert driver.next(Deliver).intent == intent


def test_records_that_kafka_deleted_meanwhile_are_reported_and_the_rest_is_declared_anew():
    _, intent = delivering()
    driver = Driver(replace(MARK, intent=intent))
    driver.next(ReadBack)
    driver.hear(NOTHING)
    driver.next(Reread)
    driver.hear(Gone(104))
    driver.next(Wait)
    over = driver.past(intent)
    driver.next(ReadBack)
    driver.hear(over)
    skip = driver.next(Skip)
    assert (skip.start, skip.end) == (100, 104)
    driver.hear(Performed())
    driver.next(Reread)
    driver.hear(Held())
    mark = driver.next(Commit).mark
    assert (mark.offset, mark.intent.end, mark.intent.attempt) == (104, 110, 1)


def test_the_shard_of_a_pending_intent_stays():
    _, intent = delivering(shards=1)
    driver = Driver(replace(MARK, intent=intent), shards=2)
    assert driver.next(ReadBack).intent.shard == 0


def test_a_foreign_mark_stops_and_says_what_to_do():
    driver = Driver(Foreign(7, "it has no metadata"))
    assert "Delete the group's offset" in driver.next(Stop).reason


def test_a_log_that_ends_before_what_was_read_stops():
    assert "the log ends at 99" in Driver(end=99).next(Stop).reason
    _, intent = delivering(end=110)
    assert "(100 to 110)" in Driver(replace(MARK, intent=intent), end=105).next(Stop).reason


def test_a_log_that_ends_where_reading_did_is_whole():
    assert Driver(end=100).next() is None
    _, intent = delivering(end=110)
    Driver(replace(MARK, intent=intent), end=110).next(ReadBack)
    # The offsets of another life say nothing of this one.
    Driver(replace(MARK, topic_id="another life"), end=5).next(Survey)


def test_where_all_is_read_nobody_is_asked_for_rows_behind_the_mark():
    driver = Driver(end=100)
    assert driver.next() is None
    driver.hear(Cut(110))
    assert driver.next(Commit).mark.intent.end == 110
    Driver(end=101).next(ReadBack)


def test_without_a_mark_an_empty_table_means_the_earliest():
    driver = Driver(None, 0)
    driver.next(Survey)
    driver.hear(Surveyed(server_now_s=NOW_S, running=False, covered=Ranges()))
    assert driver.course.wants_batch
    assert driver.course.offset == 0


@pytest.mark.parametrize("found", [None, replace(MARK, topic_id="former life")])
def test_without_a_mark_the_missing_set_is_recovered_when_all_is_quiet(found):
    driver = Driver(found, 0)
    there = Surveyed(
        server_now_s=NOW_S, running=False, covered=Ranges.of([(0, 5), (8, 10)]), attempt=2
    )
    driver.next(Survey)
    driver.hear(there)
    driver.now_s = driver.next(Wait).until_s
    assert driver.now_s > NOW_S + DEADLINE_S
    driver.next(Survey)
    driver.hear(replace(there, server_now_s=driver.now_s))
    driver.next(RebuildMarts)
    driver.hear(Performed())
    assert driver.course.offset == 5
    driver.hear(Cut(12))
    mark = driver.next(Commit).mark
    assert (mark.offset, mark.recover_until) == (5, 10)
    assert (mark.intent.kind, mark.intent.attempt) == (Kind.RECOVERY, 3)
    driver.hear(Committed())
    assert driver.next(Deliver).skip == Ranges.of([(8, 10)])
    driver.hear(Delivered())
    assert driver.next(Commit).mark == replace(MARK, offset=12)


def test_rows_that_the_mark_does_not_know_of_lead_to_recovery():
    driver = Driver()
    driver.next(ReadBack)
    driver.hear(replace(NOTHING, others=True))
    assert driver.next(Wait).until_s > NOW_S + DEADLINE_S


def test_another_decoder_s_intent_is_not_sent_again():
    _, intent = delivering()
    driver = Driver(replace(MARK, intent=intent), decoder="d2")
    assert driver.next(Wait).until_s > intent.insert_by_s
    driver.now_s = driver.next(Wait).until_s
    driver.next(Survey)
    driver.hear(Surveyed(server_now_s=driver.now_s, running=False, covered=Ranges()))
    assert driver.course.offset == 100


def test_a_refused_batch_is_settled_then_hunted_down_to_a_letter():
    driver, intent = delivering(102)
    driver.hear(Refused(Refusal.DATA, "TYPE_MISMATCH"))
    driver.next(Wait)
    over = driver.past(intent)
    driver.next(ReadBack)
    driver.hear(over)
    half = driver.next(Commit).mark
    assert half.hunt_until == 102
    assert (half.intent.end, half.intent.attempt) == (101, 1)
    assert half.intent.insert_by_s < driver.now_s + DEADLINE_S / 2
    driver.hear(Committed())
    driver.next(Deliver)
    driver.hear(Refused(Refusal.DATA, "TYPE_MISMATCH"))
    over = driver.past(half.intent)
    driver.next(ReadBack)
    driver.hear(over)
    single = driver.next(Commit).mark.intent
    assert (single.kind, single.end, single.attempt) == (Kind.REJECT, 101, 2)


def test_a_refusal_of_another_kind_stops():
    driver, _ = delivering()
    driver.hear(Refused(Refusal.OTHER, "UNKNOWN_TABLE"))
    assert "UNKNOWN_TABLE" in driver.next(Stop).reason


def test_what_comes_next_and_is_deleted_is_a_reported_gap():
    driver = idle()
    driver.hear(Gone(130))
    skip = driver.next(Skip)
    assert (skip.start, skip.end) == (100, 130)
    driver.hear(Performed())
    assert driver.next(Commit).mark == replace(MARK, offset=130)


def test_the_mark_of_an_idle_partition_is_committed_again():
    driver = idle()
    driver.now_s += 3600
    assert driver.next(Commit).mark == MARK


def test_a_fact_that_nobody_asked_for_is_a_bug():
    with pytest.raises(ValueError, match="means nothing"):
        idle().hear(Delivered())
