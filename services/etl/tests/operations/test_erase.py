"""A viewer is erased on a real broker and a real engine."""

import os
import signal
import subprocess
import sys
import time
from uuid import UUID

import numpy as np
import pytest
from samples import reactions, view, views
from stores import PATIENCE_S, eventually
from ugc_etl.adapters.memory import StoredRecord, records_of
from ugc_etl.decode import Decoder
from ugc_etl.erasure import ErasedViewers, erased_viewers_sql
from ugc_etl.operations.erase import Eraser
from ugc_etl.operations.rows_once import Clock, RowsOnce
from ugc_etl.ports import RefusedError
from ugc_etl.pseudonym import viewers
from ugc_events import FAMILIES, Reason, encode_record

pytestmark = pytest.mark.integration
KEY = b"a key of the tests, 32 bytes long"
FAMILY = {family.name: family for family in FAMILIES}


class Interrupted(Exception):  # noqa: N818 - it is what happened
    pass


class Time:
    """A clock that waits by going forward; `then` happens when it first does."""

    def __init__(self, then=lambda: None):
        self.now_s = time.monotonic()
        self.then = then

    def monotonic_s(self):
        return self.now_s

    def wait(self, seconds):
        self.now_s += seconds
        then, self.then = self.then, lambda: None
        then()


def eraser_of(stage, user, *, sql=None, clock=None, key=KEY):
    return Eraser(
        user=user,
        kafka=stage.log,
        sql=sql or stage.sql,
        deployment=stage.deployment,
        families={family.topic_of(stage.prefix): family for family in FAMILIES},
        letters_topic=stage.letters_topic,
        group=stage.group,
        pseudonym_key=key,
        deadline_s=60.0,
        clock=clock or Time(),
        on_progress=lambda _: None,
    )


def insert(stage, values, family="views", first=0, number=0):
    """Rows of these values, as the consumers insert them: the marts have them too."""
    topic = FAMILY[family].topic_of(stage.prefix)
    partition = stage.partition(number, topic)
    stored = [
        StoredRecord(first + n, stage.now_ms, None, value, ()) for n, value in enumerate(values)
    ]
    decoded = Decoder(FAMILY[family]).decode(records_of(partition, stored), 0)[partition]
    clock = Clock(time.monotonic, time.sleep)
    once = RowsOnce(stage.sql, [stage.sql], stage.deployment, clock, pseudonym_key=KEY)
    place, until_s = f"{first}-{first + len(values)}", stage.lease().until_s()
    once.insert(FAMILY[family], partition, decoded.rows, place=place, until_s=until_s)


def viewer_of(user):
    return int(viewers(np.frombuffer(user.bytes, np.uint8).reshape(1, 16), KEY)[0])


def figures(stage):
    """All that analysts see of views, and the ratings."""
    analytics = stage.deployment.analytics_database
    return [
        stage.sql.execute(f"SELECT * FROM {analytics}.{view} ORDER BY ALL")
        for view in ("viewings", "film_stats", "retention", "audience", "ratings", "bookmarks")
    ]


USER = view(0).user_id
VIEWS = 50


def others(values):
    return [value for value in values if str(USER).encode() not in value]


def fill(stage):
    """Fifty views and some reactions of five users; two dead letters, one of which names USER."""
    values = views(VIEWS, stage.now_ms)
    stage.produce([*values, b"{", b'{"user_id":"%s"}' % str(USER).upper().encode()])
    insert(stage, values)
    insert(stage, [encode_record(event) for event in reactions(10, stage.now_ms)], "reactions")
    stage.letter(VIEWS)
    stage.letter(VIEWS + 1, b'{"user_id":"%s"}' % str(USER).upper().encode())
    stage.commit(VIEWS + 2)


def test_nothing_of_the_viewer_is_left_and_the_others_figures_are_as_without(stage, clickhouse):
    fill(stage)
    before = stage.count("views", f"user_id = '{USER}'")
    assert before == VIEWS / 5
    stage.environ["INSERT_DEADLINE_S"] = "5"

    code, output, _ = stage.run("erase", "--user", str(USER))
    assert code == 0
    assert f"{before} rows of views" in output
    assert "1 dead letters" in output
    assert "nothing was done" in output
    assert stage.count("views") == VIEWS

    started_s = time.monotonic()
    code, output, errors = stage.run("erase", "--user", str(USER), "--apply")
    assert code == 0, errors
    assert time.monotonic() - started_s >= 10
    for table in ("views", "reactions"):
        assert stage.count(table, f"user_id = '{USER}'") == 0
    for mart in ("viewings", "current_reactions"):
        assert stage.count(mart, f"viewer = {viewer_of(USER)}") == 0
    assert stage.count("views") == VIEWS - before
    code, report = stage.audit("--topic", stage.topic)
    assert code == 0, report
    assert report["total"]["erased"] == before + 1
    assert report["total"]["dead_letters"] == 1

    # As if the user had never been there.
    from stage import Stage

    without = Stage(stage.kafka, clickhouse)
    without.now_ms = stage.now_ms
    insert(without, others(views(VIEWS, stage.now_ms)))
    insert(without, others([encode_record(e) for e in reactions(10, stage.now_ms)]), "reactions")
    assert figures(stage) == figures(without)
    without.close()

    assert "is completed" in stage.run("erase", "--user", str(USER))[1]


def test_what_lands_meanwhile_is_swept_too_and_a_viewer_who_comes_back_is_kept(stage):
    fill(stage)

    def meanwhile():
        # A consumer with an old list; then the viewer comes back.
        insert(stage, views(5, stage.now_ms), first=100)
        stage.now_ms += 3_600_000
        insert(stage, views(5, stage.now_ms), first=200)
        stage.now_ms -= 3_600_000

    left = eraser_of(stage, USER, clock=Time(meanwhile)).erase()
    assert left.nothing_older
    assert stage.count("views", f"user_id = '{USER}'") == 1
    assert stage.count("erased_places", "offset >= 100 AND offset < 105") == 1
    # The mart has what the one row says, no less and no more.
    rows = stage.sql.execute(
        "SELECT groupBitmapMerge(watched), max(last).1 = min(first_seen)"
        f" FROM {stage.deployment.table('viewings')} WHERE viewer = {viewer_of(USER)}"
    )
    assert rows == [(1, 1)]
    erased = ErasedViewers.of(stage.sql.execute(erased_viewers_sql(stage.deployment)))
    assert erased.viewers.tolist() == [viewer_of(USER)]


def test_a_crash_at_any_statement_leaves_what_a_repetition_completes(stage):
    fill(stage)
    expected = None

    class Crashing:
        def __init__(self, after):
            self.left = after

        def execute(self, sql):
            if not sql.startswith("SELECT"):
                if not self.left:
                    raise Interrupted
                self.left -= 1
            return stage.sql.execute(sql)

    crashes = 0
    while True:
        try:
            eraser_of(stage, USER, sql=Crashing(crashes)).erase()
            break
        except Interrupted:
            crashes += 1
            places = "(_topic_id, _partition, _offset) IN (SELECT topic_id, partition, offset"
            # Every place is a row or in the ledger, at any moment.
            rows = stage.count("views", f"NOT {places} FROM {ledger(stage)})")
            erased = stage.sql.execute(
                f"SELECT uniqExact(offset) FROM {ledger(stage)} WHERE topic_id ="
                f" toUUID('{stage.partition().topic_id}') AND offset < {VIEWS}"
            )
            assert rows + erased[0][0] == VIEWS
    assert crashes > 15
    assert stage.audit("--topic", stage.topic)[0] == 0
    expected = figures(stage)
    eraser_of(stage, USER).erase()
    assert figures(stage) == expected


def ledger(stage):
    return stage.deployment.table("erased_places")


def test_the_wrong_key_is_noticed_before_anything_is_done(stage):
    fill(stage)
    eraser = eraser_of(stage, USER, key=b"another key of 16")
    with pytest.raises(RefusedError, match="PSEUDONYM_KEY is not the consumers' key"):
        eraser.find(stage.now_ms + 1)


def test_audience_older_than_the_raw_rows_stays_and_the_rest_is_counted_again(stage):
    fill(stage)
    stage.sql.execute(
        f"ALTER TABLE {stage.deployment.local('views')}"
        " MODIFY TTL toDate(_timestamp) + toIntervalDay(30)"
    )
    old_s = stage.now_ms // 1000 - 90 * 86_400
    for occurred_at_s in (old_s, old_s + 900):
        stage.store(
            [500 + occurred_at_s % 7],
            user_id=f"toUUID('{USER}')",
            viewer=viewer_of(USER),
            content_id=f"toUUID('{UUID(int=5)}')",
            occurred_at=f"toDateTime64({occurred_at_s}, 3)",
        )
    old = f"SELECT count() FROM {stage.deployment.table('audience')} WHERE slot < now() - 86400"
    before = stage.sql.execute(old)
    said = []
    eraser = eraser_of(stage, USER)
    object.__setattr__(eraser, "on_progress", said.append)
    assert eraser.erase().nothing_older
    assert before == stage.sql.execute(old) == [(2,)]
    assert any("2 quarters of an hour are older than the raw rows" in line for line in said)


def test_an_interruption_is_a_sentence_and_the_next_call_goes_on(stage, tmp_path):
    fill(stage)
    log = tmp_path / "erase.log"
    # Tests that a shell runs in the background ignore SIGINT, and their children would.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ugc_etl", "erase", "--user", str(USER), "--apply"],
                env=os.environ | stage.environ, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        eventually(lambda: "waiting 70 s" in log.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    finally:
        process.kill()
    assert log.read_text().splitlines()[-1] == "interrupted; repeating the command goes on"
    assert "begun and not completed" in stage.run("erase", "--user", str(USER))[1]
    said = []
    eraser = eraser_of(stage, USER)
    object.__setattr__(eraser, "on_progress", said.append)
    assert eraser.erase().nothing_older
    assert said[0] == "going on with the erasure that was begun before"


def test_a_letter_that_the_consumers_may_still_write_is_left_for_later(stage):
    stage.produce([b"{"])
    stage.letter(0, str(USER).encode(), reason=Reason.NOT_JSON)
    eraser = eraser_of(stage, USER)
    assert not eraser.erase().nothing_older
    assert eraser.listed().completed is False
    stage.commit(1)
    assert eraser.erase().nothing_older
    assert eraser.listed().completed is True
