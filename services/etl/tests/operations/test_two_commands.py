"""Two commands at once, as processes, on a real broker and a real engine: every row once."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from stores import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

STOPS_BEFORE_ITS_FIRST_INSERT = """
import os, signal, sys
from ugc_etl.operations.rows_once import RowsOnce
insert = RowsOnce.insert

def stopping(*arguments, **named):
    RowsOnce.insert = insert
    os.kill(os.getpid(), signal.SIGSTOP)
    return insert(*arguments, **named)

RowsOnce.insert = stopping
from ugc_etl.__main__ import main
main()
"""


@contextmanager
def started(stage, *arguments, code="from ugc_etl.__main__ import main; main()"):
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | stage.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def is_stopped(process):
    pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
    return pid == process.pid and os.WIFSTOPPED(status)


def offsets(stage):
    table = stage.deployment.table("views")
    return [o for (o,) in stage.sql.execute(f"SELECT _offset FROM {table} ORDER BY _offset")]


@pytest.fixture
def stage(stage):
    stage.environ["INSERT_DEADLINE_S"] = "15"
    return stage


def test_one_stopped_before_its_insert_goes_on_after_another_has_repaired(stage):
    stage.produce(stage.views(10))
    stage.commit(10)
    repair = ("audit", "--repair", "--apply", "--topic", stage.topic, "--partition", "0")
    with started(stage, *repair, code=STOPS_BEFORE_ITS_FIRST_INSERT) as stopped:
        eventually(lambda: is_stopped(stopped))
        # Another piece, so another token.
        code, output, errors = stage.run(*repair, "--from-offset", "3", "--to-offset", "8")
        assert code == 0, output + errors
        assert offsets(stage) == [3, 4, 5, 6, 7]
        stopped.send_signal(signal.SIGCONT)
        told, _ = stopped.communicate(timeout=PATIENCE_S)
    assert offsets(stage) == [3, 4, 5, 6, 7], told
    assert stopped.returncode == 2
    code, output, errors = stage.run(*repair)
    assert code == 0, output + errors
    assert offsets(stage) == list(range(10))


def test_two_at_once_insert_every_row_once(stage):
    stage.produce(stage.views(300))
    stage.commit(300)
    repair = ("audit", "--repair", "--apply", "--topic", stage.topic, "--partition", "0")
    with (
        started(stage, *repair) as first,
        started(stage, *repair, "--from-offset", "100") as second,
    ):
        both = first, second
        told = [process.communicate(timeout=PATIENCE_S)[0] for process in both]
    # Whoever comes second waits, or hears that the first is at work, or takes over from it.
    assert {process.returncode for process in both} <= {0, 2}, told
    assert len(set(offsets(stage))) == len(offsets(stage)), told
    code, output, errors = stage.run(*repair)
    assert code == 0, output + errors
    assert offsets(stage) == list(range(300))


def test_one_killed_before_its_insert_is_waited_for(stage):
    stage.produce(stage.views(10))
    stage.letter(4, stage.views(5)[4])
    stage.commit(10)
    redrive = ("dead-letters", "redrive", "--apply")
    with started(stage, *redrive, code=STOPS_BEFORE_ITS_FIRST_INSERT) as killed:
        eventually(lambda: is_stopped(killed))
    replay = ("replay", "--topic", stage.topic, "--partition", "0", "--apply")
    code, output, errors = stage.run(*replay)
    assert code == 0, output + errors
    assert "inserts of etl dead-letters redrive on " in errors
    assert offsets(stage) == list(range(10))
    assert stage.audit()[0] == 0
