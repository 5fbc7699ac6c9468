"""Ranges are replayed on a real broker and a real engine."""

import time

import pytest
from samples import view
from ugc_etl.operations.coverage import Replay, open_replays
from ugc_etl.operations.replay import Replayer
from ugc_etl.operations.reread import Rereader
from ugc_etl.operations.rows_once import Clock, ErasedList, Pace, RowsOnce
from ugc_etl.ports import RefusedError
from ugc_events import encode_record
from ugc_events.registry import VIEWS

pytestmark = pytest.mark.integration
KEY = b"a key of the tests, 32 bytes long"
COUNT = 40


class Interrupted(Exception):  # noqa: N818 - it is what happened
    pass


class Crashing:
    """SQL, rows and letters; the `after`th change is interrupted, before or behind its effect."""

    def __init__(self, inner, state):
        self.inner = inner
        self.state = state

    def __getattr__(self, name):
        found = getattr(self.inner, name)
        if name not in ("execute", "insert", "publish", "withdraw"):
            return found

        def call(*arguments):
            if name == "execute" and arguments[0].startswith(("SELECT", "WITH")):
                return found(*arguments)
            self.state["left"] -= 1
            if self.state["left"] == 0 and not self.state["behind"]:
                raise Interrupted
            answer = found(*arguments)
            if self.state["left"] == 0:
                raise Interrupted
            return answer

        return call


def replayer_of(stage, state=None):
    state = state or {"left": 10**9, "behind": False}
    sql, kafka = Crashing(stage.sql, state), Crashing(stage.log, state)
    clock, lease = Clock(time.monotonic, lambda _: None), stage.lease()
    return Replayer(
        kafka,
        sql,
        stage.deployment,
        VIEWS,
        stage.letters_topic,
        Rereader(
            kafka, stage.group, sql, stage.deployment, VIEWS,
            ErasedList(sql, stage.deployment, clock), KEY, stage.now_ms, lease,
        ),
        RowsOnce(sql, [sql], stage.deployment, clock, pseudonym_key=KEY),
        lease,
        Pace(1e9, clock),
        lambda _: None,
    )  # fmt: skip


def fill(stage):
    """Forty records below the mark as rows, of another decoder's making where `wrong`."""
    values = stage.views(COUNT)
    values[11] = b"{"
    stage.produce([*values, *stage.views(5)])
    stage.commit(COUNT)
    # A decoder that took what is none, refused what is good, and took positions for something else.
    old = [encode_record(view(n, stage.now_ms)) for n in range(COUNT)]
    insert_old(stage, [n for n in range(COUNT) if n != 20], old)
    stage.letter(20, values[20])


def insert_old(stage, offsets, values):
    """Rows as they are in the table, through the marts' views; every position is 59 minutes."""
    from ugc_etl.adapters.memory import StoredRecord, records_of
    from ugc_etl.decode import Decoder

    partition = stage.partition()
    stored = [StoredRecord(n, stage.now_ms, None, values[n], ()) for n in offsets]
    rows = Decoder(VIEWS).decode(records_of(partition, stored), 0)[partition].rows
    rows["position_ms"][:] = 59 * 60_000
    clock = Clock(time.monotonic, time.sleep)
    RowsOnce(stage.sql, [stage.sql], stage.deployment, clock, pseudonym_key=KEY).insert(
        VIEWS, partition, rows, place="old", until_s=stage.lease().until_s()
    )


def analysts(stage, *views):
    analytics = stage.deployment.analytics_database
    return {
        view: stage.sql.execute(f"SELECT * FROM {analytics}.{view} ORDER BY ALL") for view in views
    }


FIGURES = ("viewings", "film_stats", "retention", "audience", "events")


def expected_figures(stage, clickhouse):
    """As if today's decoder had always been there."""
    from stage import Stage

    fresh = Stage(stage.kafka, clickhouse)
    fresh.now_ms = stage.now_ms
    values = fresh.views(COUNT)
    values[11] = b"{"
    fresh.produce(values)
    fresh.commit(COUNT)
    assert fresh.run("audit", "--repair", "--apply")[0] == 0
    figures = analysts(fresh, *FIGURES)
    fresh.close()
    return figures


def test_a_replay_puts_rows_letters_and_marts_right(stage, clickhouse):
    fill(stage)
    code, output, _ = stage.run("replay", "--topic", stage.topic)
    assert code == 0
    assert f"would replay {stage.topic}[0] 0 to 39 as generation 1" in output
    assert stage.count("views", "_generation = 1") == 0

    command = ("replay", "--topic", stage.topic, "--apply", "--per-second", "1000")
    code, output, errors = stage.run(*command)
    assert code == 0, output + errors
    assert f"replaced {stage.topic}[0] 0 to 39 as generation 1: 39 rows, 1 dead letters" in output
    assert stage.count("views", "_generation = 0") == 0
    assert stage.count("views", "_generation = 1") == COUNT - 1
    code, report = stage.audit()
    assert code == 0, report
    assert report["total"]["dead_letters"] == 1
    assert analysts(stage, *FIGURES) == expected_figures(stage, clickhouse)

    # Once more, a part of it, as the next generation.
    code, output, _ = stage.run(*command, "--partition", "0", "--from-offset", "30")
    assert code == 0
    assert "30 to 39 as generation 2" in output
    assert stage.audit()[1]["partitions"][0]["generations"] == {"1": 29, "2": 10}
    assert analysts(stage, *FIGURES) == expected_figures(stage, clickhouse)


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_a_crash_at_any_step_leaves_what_the_next_call_completes(stage, clickhouse, behind):
    fill(stage)
    partition = stage.partition()
    replay = Replay(1, partition.topic_id, 0, 0, COUNT, "building")
    replayer_of(stage).declare(replay, "building")
    counts, crashes = set(), 0
    while replays := open_replays(stage.sql, stage.deployment):
        state = {"left": crashes + 1, "behind": behind}
        try:
            replayer_of(stage, state).replay(partition, replays[0])
        except Interrupted:
            crashes += 1
        [(_, _, rows, *_)] = analysts(stage, "events")["events"]
        counts.add(rows)
    assert crashes >= 6
    # Never the sum of both.
    assert counts == {COUNT - 1}
    assert stage.audit()[0] == 0
    assert analysts(stage, *FIGURES) == expected_figures(stage, clickhouse)


def test_nothing_is_replaced_by_less(stage, kafka):
    fill(stage)
    stage.store([40, 41])
    stage.commit(42)
    partition = stage.partition()
    replay = Replay(1, partition.topic_id, 0, 0, 42, "building")
    replayer = replayer_of(stage)
    replayer.declare(replay, "building")
    read = stage.log.read
    # Kafka's retention went on.
    stage.log.read = lambda p, start, end: (r for r in read(p, start, end) if r.offset > 5)
    code, output, errors = stage.run("replay", "--topic", stage.topic)
    assert "under way" in output
    with pytest.raises(RefusedError, match="the first at offset 0 to 5"):
        replayer.replay(partition, replay)
    assert stage.count("views", "_generation = 0") == COUNT - 1 + 2
    code, output, errors = stage.run("replay", "--topic", stage.topic, "--abandon")
    assert code == 0, errors
    assert "abandoned" in output
    assert stage.count("views", "_generation = 1") == 0
    assert open_replays(stage.sql, stage.deployment) == []
    # The abandoned number is not used again.
    assert "generation 2" in stage.run("replay", "--topic", stage.topic)[1]


def test_a_mark_that_was_set_back_stops_it(stage):
    fill(stage)
    partition = stage.partition()
    replay = Replay(1, partition.topic_id, 0, 0, COUNT, "building")
    replayer = replayer_of(stage)
    replayer.declare(replay, "building")
    stage.commit(COUNT - 1)
    with pytest.raises(RefusedError, match="is not behind 39 any more"):
        replayer.replay(partition, replay)
    assert stage.count("views", "_generation = 1") == 0
    stage.commit(COUNT)
    assert replayer.replay(partition, replay).rows == COUNT - 1


def test_only_what_is_committed_is_replayed_and_a_window_of_time_chooses(stage):
    code, _, errors = stage.run("replay", "--topic", stage.topic)
    assert code == 2
    assert "nothing of that kind to replay" in errors
    stage.now_ms -= 1000 * 3600
    stage.produce(stage.views(3))
    stage.now_ms += 1000 * 3600
    stage.produce(stage.views(3))
    stage.commit(5)
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(stage.now_ms / 1000 - 60))
    assert "0 to 4 as" in stage.run("replay", "--topic", stage.topic)[1]
    assert "3 to 4 as" in stage.run("replay", "--topic", stage.topic, "--since", at)[1]
    assert "0 to 2 as" in stage.run("replay", "--topic", stage.topic, "--until", at)[1]
    assert "name the partition" in stage.run("replay", "--topic", "x", "--to-offset", "1")[2]
    assert "is no topic of events" in stage.run("replay", "--topic", "x")[2]
