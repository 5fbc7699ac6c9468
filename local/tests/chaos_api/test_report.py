import json

from rich.console import Console
from ugc_local.chaos.outcome import FaultRecord
from ugc_local.chaos_api.apps import Call
from ugc_local.chaos_api.faults import KINDS
from ugc_local.chaos_api.report import show, write_json
from ugc_local.chaos_api.run import Outcome


def an_outcome():
    outcome = Outcome(7)
    outcome.faults = [
        FaultRecord("broker killed", "", 1, 2, evidence="24 refused", recovered_s=0.5),
        FaultRecord("broker killed", "", 3, 4, evidence="24 refused", recovered_s=1.5),
        FaultRecord("API killed", "", 5, 6, why_not="nothing was lost", recovered_s=0.1),
    ]
    outcome.verdict.acknowledged = 10
    outcome.answers.update({"202": 8, "503": 2})
    return outcome


def printed(outcome, tmp_path):
    with (tmp_path / "out").open("w+") as file:
        show(outcome, KINDS, tmp_path, Console(file=file, width=200))
        file.seek(0)
        return file.read()


def test_the_report_counts_faults_with_an_effect(tmp_path):
    write_json(an_outcome(), tmp_path / "reports" / "chaos-api.json")
    report = json.loads((tmp_path / "reports" / "chaos-api.json").read_text())
    assert report["acknowledged"] == 10
    assert report["missing"] == 0
    assert report["faults"] == {"broker killed": 2}
    assert report["without_effect"] == 1
    assert report["recovery_s"] == {"broker killed": {"median": 1.0, "longest": 1.5}}
    assert report["answers"] == {"202": 8, "503": 2}
    assert report["passed"] is True


def test_a_failed_run_says_what_is_wrong_and_how_to_repeat_it(tmp_path):
    outcome = an_outcome()
    assert "FAILED" not in printed(outcome, tmp_path)
    outcome.verdict.missing = 1
    outcome.verdict.examples = ["missing: some-id"]
    outcome.late = [Call(0, 9.4, "503")]
    text = printed(outcome, tmp_path)
    assert "missing: some-id" in text
    assert "late: 503 after 9.4 s" in text
    assert "SEED=7" in text
