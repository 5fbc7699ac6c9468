import pytest
from ugc_events.registry import INTERACTIONS, REACTIONS, VIEWS
from ugc_local.chaos.places import Ledger, row_of
from ugc_local.chaos.recipe import Recipe
from ugc_local.chaos.truth import Truth

RECIPE = Recipe(seed=1, start_ms=1_790_000_000_000, per_s=100)
RECORDS = 300


def place(number):
    """Where record `number` is: three partitions of each topic."""
    return RECIPE.record(number).family.topic, number % 3, number // 3


@pytest.fixture
def truth():
    truth = Truth()
    for number in range(RECORDS):
        truth.put(number, place(number), 0.0)
    return truth


def tell(ledger, *, without=(), twice=()):
    for number in [n for n in range(RECORDS) if n not in without] + list(twice):
        made = RECIPE.record(number)
        if made.event is None:
            ledger.letter(place(number), made.value)
        else:
            ledger.row(place(number), row_of(made.family, made.event))


def test_everything_once_is_exact(truth):
    ledger = Ledger(RECIPE, truth)
    tell(ledger)
    verdict = ledger.close()
    assert verdict.exact
    assert (verdict.events, verdict.rows, verdict.dead_letters) == (RECORDS, 297, 3)


def test_what_is_missing_or_too_many_is_counted_and_named(truth):
    ledger = Ledger(RECIPE, truth)
    tell(ledger, without=[60, 63, 66, 13], twice=[120])
    verdict = ledger.close()
    assert (verdict.lost, verdict.duplicated) == (4, 1)
    assert not verdict.exact
    assert sorted(verdict.differences) == [
        "doubled: ugc.views.v1/0, offsets 40 to 40",
        "lost: ugc.views.v1/0, offsets 20 to 22",
        "lost: ugc.views.v1/1, offsets 4 to 4",
    ]


def test_a_record_that_is_a_row_in_two_places_is_doubled(truth):
    made = RECIPE.record(60)
    truth.put(60, ("ugc.views.v1", 2, 500), 0.0)
    ledger = Ledger(RECIPE, truth)
    tell(ledger)
    ledger.row(("ugc.views.v1", 2, 500), row_of(made.family, made.event))
    verdict = ledger.close()
    assert verdict.duplicated == 1
    assert "is a row elsewhere already" in verdict.differences[0]


def test_a_row_and_a_letter_of_one_place_are_one_too_many(truth):
    ledger = Ledger(RECIPE, truth)
    tell(ledger)
    ledger.letter(place(60), RECIPE.record(60).value)
    verdict = ledger.close()
    assert verdict.duplicated == 1
    assert verdict.differences == [
        "ugc.views.v1/0 at 20: record 60 became a dead letter",
        "row and dead letter: ugc.views.v1/0, offsets 20 to 20",
    ]


def test_what_a_row_says_counts(truth):
    ledger = Ledger(RECIPE, truth)
    tell(ledger, without=[60])
    made = RECIPE.record(60)
    ledger.row(place(60), [*row_of(made.family, made.event)[:-1], "toaster"])
    verdict = ledger.close()
    assert (verdict.lost, verdict.duplicated) == (0, 0)
    assert not verdict.exact
    assert "'toaster'" in verdict.differences[0]


def test_a_letter_with_another_value_counts(truth):
    ledger = Ledger(RECIPE, truth)
    tell(ledger, without=[13])
    ledger.letter(place(13), b"else")
    assert "found b'else'" in ledger.close().differences[0]


def test_a_row_where_nothing_was_acknowledged_is_too_many_unless_the_record_may_be_in(truth):
    made = RECIPE.record(RECORDS)
    nowhere, row = ("ugc.views.v1", 0, 900), row_of(made.family, made.event)
    ledger = Ledger(RECIPE, truth)
    tell(ledger)
    ledger.row(nowhere, row)
    assert ledger.close().duplicated == 1
    truth.put(RECORDS, None, 0.0)
    ledger = Ledger(RECIPE, truth)
    tell(ledger)
    ledger.row(nowhere, row)
    assert ledger.close().exact
    assert ledger.appeared == {RECORDS}


def test_rows_are_written_as_clickhouse_writes_them():
    families = {VIEWS: 0, INTERACTIONS: 15, REACTIONS: 18}
    for family, number in families.items():
        event = RECIPE.record(number).event
        row = row_of(family, event)
        assert row[0] == str(event.event_id)
        assert row[2] == str(event.occurred_at)
    bookmark = next(
        row_of(REACTIONS, made.event)
        for made in map(RECIPE.record, range(18, 900, 20))
        if made.event is not None and hasattr(made.event, "bookmarked")
    )
    assert bookmark[-3] == r"\N"
    assert bookmark[-2] in {"true", "false"}
