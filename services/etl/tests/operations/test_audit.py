from dataclasses import replace

import pytest
from samples import partition
from ugc_etl.operations.audit import Evidence, Scope, judge
from ugc_etl.operations.audit_report import as_json, summary, table
from ugc_etl.operations.coverage import Coverage, Doubled, Source
from ugc_etl.protocol.intent import Foreign, Intent, Mark
from ugc_etl.protocol.ranges import Ranges

PARTITION = partition(3)


def mark(offset, end=None, **more):
    intent = end and Intent(
        start=offset, end=end, attempt=0, shard=0, table="ugc.views", decoder="1", insert_by_s=0
    )
    return Mark(
        topic_id=PARTITION.topic_id, offset=offset, decoder="1", intent=intent or None, **more
    )


EXACT = Evidence(
    partition=PARTITION,
    current=True,
    start=0,
    end=100,
    mark=mark(100),
    later_mark=mark(100),
    last_row=99,
    coverage=Coverage(
        rows=97, places=97, erased=1, first_row=0, gaps=Ranges.of([(10, 12)]), generations={0: 97}
    ),
    letters=Ranges.of([(10, 12)]),
    kept_from=0,
    records=Ranges(),
    outlived=Ranges(),
)


def with_gaps(*gaps, **changes):
    more = {name: changes.pop(name) for name in ("first_row", "doubled", "rows") if name in changes}
    return replace(
        EXACT,
        coverage=replace(EXACT.coverage, gaps=Ranges.of([(10, 12), *gaps]), **more),
        **changes,
    )


def test_rows_letters_and_erased_together_are_exact():
    verdict = judge(EXACT)
    assert verdict.exact
    assert verdict.remarks == ()
    assert summary([verdict]) == (
        "exact: 97 rows + 2 dead letters + 1 erased = 100 offsets - 0 without a record"
        " - 0 expired; lost 0, duplicated 0"
    )


def test_a_gap_with_a_record_is_missing_and_one_without_is_none():
    verdict = judge(with_gaps((50, 60), records=Ranges.of([(52, 54)])))
    assert verdict.missing == Ranges.of([(52, 54)])
    assert verdict.no_record == Ranges.of([(50, 52), (54, 60)])
    assert verdict.differences == (
        "missing: 52 to 53 (2 offsets); Kafka has the records, `--repair` inserts them",
    )
    assert judge(with_gaps((50, 60))).exact


def test_what_kafka_no_longer_keeps_is_expired_before_the_first_row_and_lost_behind_it():
    verdict = judge(with_gaps((0, 10), (20, 30), first_row=12, kept_from=25))
    assert verdict.expired == Ranges.of([(0, 10)])
    assert verdict.lost == Ranges.of([(20, 25)])
    assert verdict.no_record == Ranges.of([(25, 30)])
    assert not verdict.exact
    assert judge(with_gaps((0, 10), first_row=12, kept_from=25)).exact


def test_a_record_that_has_outlived_the_table_is_expired():
    old = Ranges.of([(0, 5)])
    verdict = judge(with_gaps((0, 10), records=Ranges.of([(0, 6)]), outlived=old))
    assert verdict.expired == old
    assert verdict.missing == Ranges.of_offsets([5])


def test_a_table_without_rows_has_lost_nothing_that_expired():
    empty = Coverage(gaps=Ranges.of([(0, 100)]))
    verdict = judge(replace(EXACT, coverage=empty, letters=Ranges(), kept_from=100, last_row=None))
    assert verdict.exact
    assert verdict.expired == Ranges.of([(0, 100)])


def test_a_place_with_a_row_and_a_letter_differs():
    verdict = judge(replace(EXACT, letters=Ranges.of([(10, 13)])))
    assert verdict.differences == ("both a row (or erased) and a dead letter: 12",)
    assert "duplicated 1" in summary([verdict])


def test_doubled_offsets_are_told_with_their_inserts():
    sources = (Source("202609_1_1_0", 0, 0, 5), Source("202609_2_2_0", 0, 1, 6))
    verdict = judge(with_gaps(doubled=(Doubled(40, 43, 6, sources),), rows=100))
    assert verdict.differences == (
        "doubled: 40 to 42 (3 offsets), 6 rows, each offset from part 202609_1_1_0, generation 0,"
        " attempt 0, deadline 5; part 202609_2_2_0, generation 0, attempt 1, deadline 6;"
        " `etl replay` of the range puts one row in their place",
    )
    assert "duplicated 3" in summary([verdict])


def test_an_erased_place_with_a_row_differs():
    coverage = replace(EXACT.coverage, erased_with_row=Ranges.of_offsets([7]))
    assert "repeat `etl erase`" in judge(replace(EXACT, coverage=coverage)).differences[0]


@pytest.mark.parametrize(
    ("later", "ahead"),
    [
        (mark(100, end=120), 120),
        (mark(110), 120),
        (mark(100, end=121), None),
        (mark(121), None),
        (mark(100, recover_until=150), None),
        (mark(100, hunt_until=150), None),
        (None, None),
    ],
)
def test_a_row_that_no_intent_has_declared_is_ahead(later, ahead):
    verdict = judge(replace(EXACT, last_row=120, later_mark=later))
    assert verdict.ahead == ahead
    assert verdict.exact == (ahead is None)


def test_what_is_declared_is_in_flight():
    verdict = judge(replace(EXACT, mark=mark(100, end=130), later_mark=mark(130)))
    assert verdict.in_flight == 30
    assert verdict.exact


def test_another_tools_commit_differs_and_no_commit_is_told():
    assert "some tool" in judge(replace(EXACT, later_mark=Foreign(5, "some tool"))).differences[0]
    assert judge(replace(EXACT, mark=None, later_mark=None)).remarks == (
        "nothing is committed: audited up to the last row",
    )


def test_generations_are_told_where_there_are_several():
    coverage = replace(EXACT.coverage, generations={0: 90, 2: 7})
    assert judge(replace(EXACT, coverage=coverage)).remarks == (
        "rows: 90 of generation 0, 7 of generation 2",
    )


def test_the_report_has_a_line_for_each_partition_and_says_what_is_wrong():
    verdicts = [judge(EXACT), judge(with_gaps((50, 60), records=Ranges.of([(52, 54)])))]
    lines = table(verdicts).splitlines()
    assert [line.split()[-1] for line in lines[:3]] == ["verdict", "exact", "DIFFERS"]
    assert lines[3].startswith("    missing: 52 to 53")
    assert lines[-1].startswith("DIFFERS in 1 of 2 partitions")
    assert '"missing": [\n' in as_json(verdicts)
    assert '"exact": false' in as_json(verdicts)


def test_offsets_are_of_one_partition():
    with pytest.raises(ValueError, match="name the topic and the partition"):
        Scope(topic="a", from_offset=1)
    assert Scope(topic=PARTITION.topic, partition=3, to_offset=9).takes(PARTITION)
    assert not Scope(topic=PARTITION.topic, partition=2).takes(PARTITION)
    assert not Scope(topic="other").takes(PARTITION)
