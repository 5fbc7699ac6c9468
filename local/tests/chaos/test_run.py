import os

import pytest
from ugc_local.chaos.kinds import KINDS
from ugc_local.chaos.run import Options, run

pytestmark = pytest.mark.integration

WORST = (
    "stopped, insert sent",
    "killed, insert answered",
    "commit's answer cut",
    "ClickHouse killed, insert answered",
)
"""Without the intents each of them doubles rows, or may."""


def test_a_few_of_the_worst_faults_lose_and_double_nothing(tmp_path):
    outcome = run(
        Options(
            directory=tmp_path / "chaos",
            faults=len(WORST),
            seed=1,
            records_per_s=200,
            kinds=[kind for kind in KINDS if kind.name in WORST],
        ),
        os.environ,
        on_step=print,
        on_fault=print,
    )
    assert outcome.failures == []
    assert outcome.ended_by_themselves == []
    assert outcome.verdict.differences == []
    assert (outcome.verdict.lost, outcome.verdict.duplicated) == (0, 0)
    assert outcome.audit_exact, outcome.audit
    assert outcome.counted() == dict.fromkeys(WORST, 1)
    assert outcome.verdict.rows > 500
    assert outcome.verdict.dead_letters > 5
