"""Dead letters are driven again on a real broker and a real engine."""

import time

import pytest
from samples import view
from ugc_etl.adapters.clickhouse import ClickHouse
from ugc_etl.operations.dead_letters import Choice, chosen, whole
from ugc_etl.operations.redrive import Redrive, Step
from ugc_etl.operations.rows_once import Clock, ErasedList, Pace, RowsOnce
from ugc_etl.ports import OutcomeUnknownError
from ugc_etl.pseudonym import viewers
from ugc_events import Reason
from ugc_events.registry import VIEWS

pytestmark = pytest.mark.integration
KEY = b"a key of the tests, 32 bytes long"


class Interrupted(Exception):  # noqa: N818 - it is what happened
    pass


def redrive_of(stage, **changes):
    clock = Clock(time.monotonic, lambda _: None)
    parts = {
        "kafka": stage.log,
        "sql": stage.sql,
        "deployment": stage.deployment,
        "families": {stage.topic: VIEWS},
        "letters_topic": stage.letters_topic,
        "group": stage.group,
        "rows": RowsOnce(stage.sql, [stage.sql], stage.deployment, clock, pseudonym_key=KEY),
        "erased": ErasedList(stage.sql, stage.deployment, clock),
        "pseudonym_key": KEY,
        "now_ms": stage.now_ms,
    }
    return Redrive(**(parts | changes))


def run(stage, redrive):
    pace = Pace(1e9, Clock(time.monotonic, lambda _: None))
    records = chosen(stage.log, stage.letters_topic, Choice())
    pages = whole(stage.log, stage.letters_topic, records)
    lease = stage.lease()
    return [done for page in pages for done in redrive.apply(redrive.decide(page), lease, pace)]


def letters(stage):
    return [r.letter.offset for r in chosen(stage.log, stage.letters_topic, Choice())]


def fill(stage):
    """Six records, all of them dead letters; today four of them can be taken."""
    values = stage.views(6)
    stage.produce(values)
    for offset in range(6):
        value = b"{" if offset == 2 else values[offset]
        stage.letter(offset, value, reason=Reason.FUTURE_VERSION)
    stage.commit(5)


def test_what_can_be_taken_becomes_rows_and_the_rest_stays(stage):
    fill(stage)
    code, output, _ = stage.run("dead-letters", "redrive")
    assert code == 0
    assert "4 would become rows" in output
    assert "--apply does it" in output
    assert letters(stage) == [0, 1, 2, 3, 4, 5]

    for repetition in range(2):
        code, output, errors = stage.run("dead-letters", "redrive", "--apply")
        assert code == 0, errors
        assert ("4 become rows" in output) == (repetition == 0)
        assert "1: not_json" in output
        assert "not below the committed offset" in output
        assert letters(stage) == [2, 5]
    stored = stage.sql.execute(
        "SELECT _offset, toString(event_id), toString(user_id), position_ms, _topic_id ="
        f" toUUID('{stage.partition().topic_id}') FROM {stage.deployment.table('views')} ORDER BY 1"
    )
    events = [view(n, stage.now_ms) for n in range(6)]
    assert stored == [
        (n, str(events[n].event_id), str(events[n].user_id), events[n].position_ms, 1)
        for n in (0, 1, 3, 4)
    ]
    assert stage.count("viewings") > 0
    assert stage.audit()[0] == 0


def test_the_letters_are_chosen_listed_and_inspected(stage):
    fill(stage)
    stage.letter(9, b"\xff\x00", reason=Reason.NOT_JSON)
    code, output, _ = stage.run("dead-letters", "list", "--reason", "not_json")
    assert code == 0
    assert output.splitlines()[-1] == "1 dead letters: 1 not_json"
    assert stage.run("dead-letters", "list", "--until", "2020-01-01")[1].endswith(
        "0 dead letters\n"
    )
    code, output, _ = stage.run("dead-letters", "inspect", stage.topic, "0", "9")
    assert code == 0
    assert "ff 00" in output
    assert "header      h: v" in output
    assert stage.run("dead-letters", "inspect", stage.topic, "0", "8")[0] == 1
    code, output, _ = stage.run("dead-letters", "inspect", "--raw", stage.topic, "0", "0")
    assert (code, output.encode()) == (0, stage.views(1)[0])


@pytest.mark.parametrize("crash", ["before the insert", "after the insert", "in the withdrawal"])
def test_a_crash_between_any_two_steps_is_harmless(stage, crash):
    fill(stage)

    class Crashing:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def insert(self, *arguments, **named):
            if crash == "before the insert":
                raise Interrupted
            self.inner.insert(*arguments, **named)
            if crash == "after the insert":
                raise Interrupted

        def withdraw(self, *arguments):
            if crash == "in the withdrawal":
                raise Interrupted
            self.inner.withdraw(*arguments)

    redrive = redrive_of(stage)
    redrive.rows = Crashing(redrive.rows)
    redrive.kafka = Crashing(redrive.kafka)
    with pytest.raises(Interrupted):
        run(stage, redrive)
    assert letters(stage) == [0, 1, 2, 3, 4, 5]
    assert stage.count("views") == (crash != "before the insert")

    steps = [done.step for done in run(stage, redrive_of(stage))]
    assert steps.count(Step.WITHDRAW) == (crash != "before the insert")
    assert letters(stage) == [2, 5]
    assert stage.count("views") == 4
    assert stage.audit()[0] == 0


def test_an_answer_that_is_lost_is_asked_for_again_with_the_same_token(stage):
    fill(stage)
    tokens = []

    class Forgetful:
        def __init__(self, inner: ClickHouse) -> None:
            self.inner = inner

        def insert(self, table, block, token):
            tokens.append(token)
            self.inner.insert(table, block, token)
            if len(tokens) % 2:
                raise OutcomeUnknownError("no answer")

    clock = Clock(time.monotonic, lambda _: None)
    rows = RowsOnce(stage.sql, [Forgetful(stage.sql)], stage.deployment, clock, pseudonym_key=KEY)
    run(stage, redrive_of(stage, rows=rows))
    assert tokens[0] == tokens[1]
    assert tokens[0].startswith(f"{stage.partition().topic_id}:0:0-1:")
    assert len(tokens) == 8
    assert stage.count("views") == 4


def test_records_of_an_erased_viewer_go_to_the_ledger(stage):
    import numpy as np

    fill(stage)
    user = view(0, stage.now_ms).user_id
    [viewer] = viewers(np.frombuffer(user.bytes, np.uint8).reshape(1, 16), KEY)
    stage.sql.execute(
        f"INSERT INTO {stage.deployment.table('erased_viewers')} (viewer, erased_at)"
        f" SELECT {viewer}, fromUnixTimestamp64Milli({stage.now_ms + 1})"
    )
    stage.erase_places([1])
    steps = {done.letter.offset: done.step for done in run(stage, redrive_of(stage))}
    assert steps == {
        0: Step.ERASE, 1: Step.WITHDRAW, 2: Step.STAY, 3: Step.INSERT, 4: Step.INSERT,
        5: Step.STAY,
    }  # fmt: skip
    assert stage.count("views", f"user_id = '{user}'") == 0
    assert stage.count("erased_places", "offset = 0") == 1
    assert letters(stage) == [2, 5]
    assert stage.audit()[0] == 0


def test_letters_of_a_former_topic_need_no_mark_and_strange_ones_stay(stage):
    former = "0f0e0d0c-0b0a-4908-8706-050403020100"
    [value] = stage.views(1)
    stage.letter(0, value, topic_id=former)
    stage.letter(1, value, topic="nobody's")
    stage.letter(2, value, cut_from_bytes=9_999_999, topic_id=former)
    steps = {done.letter.offset: done for done in run(stage, redrive_of(stage))}
    assert steps[0].step is Step.INSERT
    assert steps[1].why == "nobody's is no topic of ours"
    assert steps[2].why == "only the beginning of its 9999999 bytes was kept"
