import io
import json
from pathlib import Path

from rich.console import Console
from ugc_local.chaos.kinds import KINDS
from ugc_local.chaos.outcome import FaultRecord, Outcome, Verdict
from ugc_local.chaos.report import show, write_json


def fault(kind, began_s, evidence="an effect", recovered_s=1.0):
    why_not = "" if evidence else "nothing came of it"
    return FaultRecord(kind, "etl-1", began_s, began_s + 1, evidence, why_not, recovered_s)


def outcome(**changes):
    made = Outcome(
        seed=7,
        faults=[
            fault("killed", 1.0, recovered_s=2.0),
            fault("killed", 2.0, recovered_s=4.0),
            fault("joined", 3.0, evidence=""),
            fault("broker killed", 4.0, recovered_s=None),
        ],
        verdict=Verdict(events=1000, rows=990, dead_letters=10),
        audit="exact",
        audit_exact=True,
        lag_median_s=0.5,
        seconds=61.0,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def shown(made):
    console = Console(file=io.StringIO(), width=200)
    show(made, KINDS, Path("logs"), console)
    return console.file.getvalue()


def test_the_figures_as_json(tmp_path):
    write_json(outcome(), tmp_path / "reports" / "chaos.json")
    figures = json.loads((tmp_path / "reports" / "chaos.json").read_text())
    assert figures["faults"] == {"broker killed": 1, "killed": 2}
    assert figures["recovery_s"] == {"killed": {"median": 3.0, "longest": 4.0}}
    assert (figures["events"], figures["lost"], figures["duplicated"]) == (1000, 0, 0)
    assert (figures["seconds"], figures["seed"], figures["without_effect"]) == (61.0, 7, 1)
    assert figures["passed"]


def test_a_run_that_passed_shows_its_table_and_no_timeline():
    text = shown(outcome())
    assert "lost 0, duplicated 0" in text
    assert "1 more had no effect" in text
    assert "timeline" not in text
    rows = [line.split("│")[1:-1] for line in text.splitlines() if line.startswith("│")]
    table = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows}
    assert table["killed"] == ["2", "3.0 s", "4.0 s"]
    assert table["broker killed"] == ["1", "", ""]
    assert table["together"] == ["3", "", ""]


def test_a_run_that_failed_shows_what_helps_to_find_out_why():
    verdict = Verdict(events=1000, lost=3, differences=["lost: t/0, offsets 1 to 3"])
    text = shown(
        outcome(
            verdict=verdict,
            failures=["not everything was done"],
            ended_by_themselves=["etl-1: status 1. Traceback"],
        )
    )
    assert "lost 3, duplicated 0" in text
    assert "FAILED: lost: t/0, offsets 1 to 3" in text
    assert "FAILED: not everything was done" in text
    assert "FAILED: ended by itself: etl-1: status 1. Traceback" in text
    assert "3.0 –    4.0  joined: no effect: nothing came of it" in text
    assert "SEED=7" in text


def test_each_part_of_the_proof_can_fail_the_run():
    assert outcome().passed
    assert not outcome(audit_exact=False).passed
    assert not outcome(failures=["a store ended"]).passed
    assert not outcome(ended_by_themselves=["etl-1: status 1."]).passed
    for verdict in (Verdict(lost=1), Verdict(duplicated=1), Verdict(differences=["a mart"])):
        assert not outcome(verdict=verdict).passed
