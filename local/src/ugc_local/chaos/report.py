"""The report of a run: a table for people, JSON for machines."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from ugc_local.chaos.kind import Kind
from ugc_local.chaos.outcome import FaultRecord, Outcome

_SHOWN = 12


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The figures; `faults` counts those that had an effect, by kind."""
    verdict = outcome.verdict
    return {
        "faults": dict(sorted(outcome.counted().items())),
        "events": verdict.events,
        "rows": verdict.rows,
        "dead_letters": verdict.dead_letters,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "seconds": round(outcome.seconds, 1),
        "passed": outcome.passed,
        "seed": outcome.seed,
        "without_effect": sum(not fault.counts for fault in outcome.faults),
        "ended_by_themselves": len(outcome.ended_by_themselves),
        "lag_median_s": round(outcome.lag_median_s, 2),
        "recovery_s": {
            kind: {"median": round(statistics.median(taken), 1), "longest": round(max(taken), 1)}
            for kind in sorted(outcome.counted())
            if (taken := _recoveries(outcome, kind))
        },
        "differences": verdict.differences,
        "failures": outcome.failures,
    }


def write_json(outcome: Outcome, path: Path) -> None:
    """Write the figures to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(as_json(outcome))) + b"\n")


def show(outcome: Outcome, kinds: Sequence[Kind], logs: Path, console: Console) -> None:
    """Print the table, the verdict and, where it failed, all that helps to find out why."""
    console.print(_faults(outcome, kinds))
    verdict = outcome.verdict
    console.print(
        f"{verdict.events:,} records acknowledged, {verdict.rows:,} rows, "
        f"{verdict.dead_letters:,} dead letters; {outcome.seconds:.0f} s, seed {outcome.seed}; "
        f"median lag {outcome.lag_median_s:.2f} s"
    )
    console.print(f"etl audit: {outcome.audit}")
    console.print(f"lost {verdict.lost}, duplicated {verdict.duplicated}", style="bold")
    if outcome.passed:
        return
    ended = [f"ended by itself: {words}" for words in outcome.ended_by_themselves[:_SHOWN]]
    for difference in [*outcome.failures, *ended, *verdict.differences]:
        console.print(f"FAILED: {difference}", markup=False)
    console.print("\ntimeline, in seconds:")
    for fault in outcome.faults:
        console.print(timeline_line(fault), markup=False)
    console.print(f"\nlogs of every process: {logs}\nthe same faults again: SEED={outcome.seed}")


def timeline_line(fault: FaultRecord) -> str:
    """One fault, in a line."""
    what = fault.evidence or f"no effect: {fault.why_not}"
    return f"  {fault.began_s:6.1f} – {fault.undone_s:6.1f}  {fault.kind}: {what}"


def _faults(outcome: Outcome, kinds: Sequence[Kind]) -> Table:
    table = Table(title="Faults with an effect")
    table.add_column("kind")
    table.add_column("count", justify="right")
    table.add_column("recovered in, median", justify="right")
    table.add_column("longest", justify="right")
    counted = outcome.counted()
    for kind in kinds:
        if kind.name in counted:
            taken = _recoveries(outcome, kind.name)
            times = (f"{statistics.median(taken):.1f} s", f"{max(taken):.1f} s") if taken else ()
            table.add_row(kind.name, str(counted[kind.name]), *times)
    without = sum(not fault.counts for fault in outcome.faults)
    table.add_section()
    table.add_row("together", str(counted.total()))
    table.caption = f"{without} more had no effect and do not count" if without else None
    return table


def _recoveries(outcome: Outcome, kind: str) -> list[float]:
    return [
        fault.recovered_s
        for fault in outcome.faults
        if fault.kind == kind and fault.counts and fault.recovered_s is not None
    ]
