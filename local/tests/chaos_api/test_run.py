import os
from pathlib import Path

import pytest
from ugc_local.chaos.outcome import FaultRecord
from ugc_local.chaos_api.apps import Call
from ugc_local.chaos_api.faults import KINDS, Kind
from ugc_local.chaos_api.run import Options, Outcome, late_calls, run

WORST = ("broker killed", "API killed", "acknowledgement cut", "too large for a topic")


@pytest.mark.integration
def test_what_was_acknowledged_is_in_kafka_after_a_few_of_the_worst_faults(tmp_path):
    outcome = run(
        Options(
            directory=tmp_path / "chaos",
            faults=len(WORST),
            seed=1,
            apps=8,
            kinds=[kind for kind in KINDS if kind.name in WORST],
        ),
        os.environ,
        on_step=print,
        on_fault=print,
    )
    assert outcome.failures == []
    assert outcome.late == []
    assert (outcome.verdict.missing, outcome.verdict.altered) == (0, 0)
    assert outcome.counted() == dict.fromkeys(WORST, 1)
    assert outcome.verdict.acknowledged > 500
    assert outcome.answers["503"] > 0
    assert outcome.answers["207"] > 0
    assert outcome.answers["lost"] > 0
    assert outcome.peak_rss_mib > 0


def broker_away(scene):
    scene.undo.callback(scene.world.broker_link.mend)
    scene.world.broker_link.down()
    scene.pass_time(2 * scene.world.patience.delivery_s)
    return "for longer than requests wait"


@pytest.mark.integration
def test_an_api_that_accepts_what_kafka_has_not_is_caught(tmp_path):
    outcome = run(
        Options(
            directory=tmp_path / "chaos",
            faults=1,
            seed=1,
            apps=8,
            kinds=[Kind(name="broker away", how="", undone="", do=broker_away)],
            app="lying_api:app",
        ),
        {**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        on_step=print,
        on_fault=print,
    )
    assert outcome.verdict.missing > 0
    assert not outcome.passed


def test_an_answer_is_late_unless_the_api_was_away_meanwhile():
    fault = FaultRecord("API killed", "", began_s=10, undone_s=12, recovered_s=3)
    before, over, within, after = (
        Call(104, 5, "202"),
        Call(109, 9, "202"),
        Call(113, 1, "202"),
        Call(116, 5, "202"),
    )
    calls = [before, over, within, after]
    assert late_calls(calls, [fault], {"API killed"}, began_s=100) == [before, after]
    assert late_calls(calls, [fault], set(), began_s=100) == calls


def test_a_run_passes_only_where_nothing_is_missing_late_or_wrong():
    assert Outcome(1).passed
    assert not Outcome(1, failures=["a 500"]).passed
    assert not Outcome(1, late=[Call(0, 9, "202")]).passed
    missing, altered = Outcome(1), Outcome(1)
    missing.verdict.missing = altered.verdict.altered = 1
    assert not missing.passed
    assert not altered.passed
