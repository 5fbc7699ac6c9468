"""What an audit found missing is inserted, on a real broker and a real engine."""

import pytest
from samples import view
from ugc_etl.pseudonym import viewers
from ugc_events import encode_record

pytestmark = pytest.mark.integration
MONTH_MS = 31 * 86_400_000


def test_what_is_missing_is_inserted_and_nothing_twice(stage):
    import numpy as np

    # Some of another month; and some of a viewer who was erased.
    stage.now_ms -= MONTH_MS
    values = stage.views(30)
    values[7] = b"{"
    stage.produce(values)
    stage.now_ms += MONTH_MS
    stage.produce(stage.views(5))
    user = view(4).user_id
    [viewer] = viewers(
        np.frombuffer(user.bytes, np.uint8).reshape(1, 16), stage.environ["PSEUDONYM_KEY"].encode()
    )
    stage.sql.execute(
        f"INSERT INTO {stage.deployment.table('erased_viewers')} (viewer, erased_at)"
        f" SELECT {viewer}, fromUnixTimestamp64Milli({stage.now_ms + 1})"
    )
    stage.now_ms -= MONTH_MS
    stage.store([*range(5), *range(12, 20)])
    stage.now_ms += MONTH_MS
    stage.commit(33)

    code, output, _ = stage.run("audit", "--repair")
    assert code == 1
    assert f"would read 20 records of {stage.topic}[0] again" in output
    assert stage.count("views") == 13

    code, output, errors = stage.run("audit", "--repair", "--apply", "--per-second", "1000")
    assert code == 0, output + errors
    assert "repaired" in output
    # Of the missing, one cannot be taken, and three are of the erased viewer.
    assert output.splitlines()[0].endswith(": 16 rows, 1 dead letters, 3 erased")
    assert stage.count("views") == 29
    assert stage.count("views", f"_timestamp = fromUnixTimestamp64Milli({stage.now_ms})") == 3

    code, output, _ = stage.run("audit", "--repair", "--apply")
    assert code == 0
    assert "repaired" not in output
    assert stage.count("views") == 29


def test_a_repaired_row_is_the_row_that_was(stage):
    event = view(3, stage.now_ms)
    stage.produce([encode_record(event)])
    stage.commit(1)
    assert stage.run("audit", "--repair", "--apply")[0] == 0
    [row] = stage.sql.execute(
        "SELECT toString(event_id), toString(user_id), position_ms, device, _generation,"
        f" toUnixTimestamp64Milli(_timestamp) FROM {stage.deployment.table('views')}"
    )
    assert row == (
        str(event.event_id), str(event.user_id), event.position_ms, event.device, 0, stage.now_ms,
    )  # fmt: skip
    assert stage.count("viewings") == 1


def test_apply_belongs_to_repair(stage):
    assert "--apply belongs to --repair" in stage.run("audit", "--apply")[2]
