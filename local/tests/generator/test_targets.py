"""The generated days are like life, and the check of it notices where they are not."""

import json
from dataclasses import replace
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from ugc_local.generator import Habits, Likeness, Plan

BASE = Habits()


def look(habits: Habits, events: int) -> Likeness:
    return Likeness.of(Plan(5, date(2026, 1, 12), events, days=7, habits=habits))


def test_every_target_is_met_and_reported(tmp_path: Path) -> None:
    found = look(BASE, 500_000)
    assert [fit for fit in found.fits if not fit.fits] == []
    assert sum(fit.published for fit in found.fits) >= 15
    found.write(tmp_path / "reports" / "generator.json")
    report = json.loads((tmp_path / "reports" / "generator.json").read_text())
    assert (report["fits"], report["events"], report["days"]) == (True, 500_000, 7)
    assert [target["name"] for target in report["targets"]] == [fit.name for fit in found.fits]
    out = StringIO()
    found.show(Console(file=out, width=160))
    assert "every target is met" in out.getvalue()


BENT: list[dict[str, tuple[Any, list[str]]]] = [
    {
        "devices": (
            (("tv", 25), ("web", 22), ("phone", 43), ("tablet", 10)),
            ["time watched by device"],
        ),
        "scores": ((*BASE.scores[5:], *BASE.scores[:5]), ["scores"]),
        "weekdays": ((1.2, *BASE.weekdays[1:6], 0.7), ["Sunday against an average day"]),
        "active_share": (0.5, ["time watched per viewer and day"]),
    },
    {
        "hourly": (
            (*BASE.hourly[2:], *BASE.hourly[:2]),
            ["hour with most time watched"],
        ),
        "redraws": (30, ["plays of the most played 10% of titles"]),
        "quick_share": (
            0.1,
            ["leaving in minutes 0 to 5 against 5 to 30, per minute"],
        ),
        "persistence": (
            (("tv", 0.9), ("web", 0.87), ("phone", 0.6), ("tablet", 1.03)),
            ["completion, phone", "completion, tv"],
        ),
    },
    {
        "hourly": (
            tuple(weight + 10 for weight in BASE.hourly),
            ["time watched from 18:00 to 22:00"],
        ),
        "patience_min": (
            (("tv", 100), ("web", 120), ("phone", 42), ("tablet", 72)),
            ["mean session, tv", "mean session, web"],
        ),
        "zipf_exponent": (0.6, ["first choice of each viewer"]),
    },
]


@pytest.mark.parametrize("bends", BENT, ids=", ".join)
def test_a_bent_distribution_is_found(bends: dict[str, tuple[Any, list[str]]]) -> None:
    found = look(replace(BASE, **{name: value for name, (value, _) in bends.items()}), 150_000)
    missed = {fit.name for fit in found.fits if not fit.fits}
    assert missed >= {name for _, names in bends.values() for name in names}
    assert not found.like
