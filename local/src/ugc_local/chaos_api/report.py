"""The report of a run: a table for people, JSON for machines."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from ugc_local.chaos.report import timeline_line
from ugc_local.chaos_api.faults import Kind
from ugc_local.chaos_api.run import Outcome

_SHOWN = 12


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The figures; `faults` counts those that had an effect, by kind."""
    return {
        "acknowledged": outcome.verdict.acknowledged,
        "missing": outcome.verdict.missing,
        "faults": dict(sorted(outcome.counted().items())),
        "altered": outcome.verdict.altered,
        "records": outcome.verdict.records,
        "late": len(outcome.late),
        "slowest_answer_s": round(outcome.slowest_s, 2),
        "answers": dict(sorted(outcome.answers.items())),
        "peak_rss_mib": round(outcome.peak_rss_mib, 1),
        "recovery_s": {
            kind: {"median": round(statistics.median(taken), 1), "longest": round(max(taken), 1)}
            for kind in sorted(outcome.counted())
            if (taken := _recoveries(outcome, kind))
        },
        "without_effect": sum(not fault.counts for fault in outcome.faults),
        "seconds": round(outcome.seconds, 1),
        "seed": outcome.seed,
        "passed": outcome.passed,
        "failures": outcome.failures,
    }


def write_json(outcome: Outcome, path: Path) -> None:
    """Write the figures to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(as_json(outcome))) + b"\n")


def show(outcome: Outcome, kinds: Sequence[Kind], logs: Path, console: Console) -> None:
    """Print the table, the verdict and, where it failed, all that helps to find out why."""
    table = Table(title="Faults with an effect")
    table.add_column("kind")
    for name in ("count", "recovered in, median", "longest"):
        table.add_column(name, justify="right")
    counted = outcome.counted()
    for kind in kinds:
        if taken := _recoveries(outcome, kind.name):
            times = (f"{statistics.median(taken):.1f} s", f"{max(taken):.1f} s")
            table.add_row(kind.name, str(counted[kind.name]), *times)
    table.add_section()
    table.add_row("together", str(counted.total()))
    console.print(table)
    verdict = outcome.verdict
    answers = ", ".join(f"{count:,} × {answer}" for answer, count in outcome.answers.most_common())
    console.print(
        f"{verdict.acknowledged:,} events acknowledged, {verdict.records:,} records in Kafka; "
        f"{outcome.seconds:.0f} s, seed {outcome.seed}\nanswers: {answers}; the slowest took "
        f"{outcome.slowest_s:.2f} s; the API held at most {outcome.peak_rss_mib:.0f} MiB"
    )
    console.print(f"missing {verdict.missing}, altered {verdict.altered}", style="bold")
    if outcome.passed:
        return
    late = [f"late: {call.answer} after {call.took_s:.1f} s" for call in outcome.late[:_SHOWN]]
    for words in [*outcome.failures[:_SHOWN], *late, *verdict.examples]:
        console.print(f"FAILED: {words}", markup=False)
    console.print("\ntimeline, in seconds:")
    for fault in outcome.faults:
        console.print(timeline_line(fault), markup=False)
    console.print(f"\nlogs: {logs}\nthe same faults again: SEED={outcome.seed}")


def _recoveries(outcome: Outcome, kind: str) -> list[float]:
    return [
        fault.recovered_s
        for fault in outcome.faults
        if fault.kind == kind and fault.counts and fault.recovered_s is not None
    ]
