"""The report of how like life the generated days are: a table, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ugc_local.generator.plan import Plan
from ugc_local.generator.portrait import Portrait
from ugc_local.generator.targets import Fit, fits
from ugc_local.generator.truth import GroundTruth


@dataclass(frozen=True)
class Likeness:
    """A sample, measured.

    Attributes:
        seed, days, events: of the sample.
        viewers, sessions: how many it has that watched anything.
        fits: each target.
    """

    seed: int
    days: int
    events: int
    viewers: int
    sessions: int
    fits: Sequence[Fit]

    @property
    def like(self) -> bool:
        """Every target is met."""
        return all(fit.fits for fit in self.fits)

    @classmethod
    def of(cls, plan: Plan) -> Likeness:
        """Generate the plan and look at it. Two million events take about a minute of CPU."""
        truth = GroundTruth(plan.day, plan.catalogue, plan.days)
        portrait = Portrait.of(plan.catalogue, plan.stream(truth))
        return cls(
            seed=plan.seed,
            days=plan.days,
            events=truth.submitted,
            viewers=len(portrait.viewers),
            sessions=len(portrait.sessions),
            fits=fits(portrait, plan.days),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "fits": self.like,
            "seed": self.seed,
            "days": self.days,
            "events": self.events,
            "viewers": self.viewers,
            "sessions": self.sessions,
            "targets": [
                {
                    "name": fit.name,
                    "source": fit.source,
                    "published": fit.published,
                    "due": fit.due,
                    "found": fit.found,
                    "distance": round(fit.distance, 4),
                    "measure": fit.measure,
                    "tolerance": fit.tolerance,
                    "fits": fit.fits,
                }
                for fit in self.fits
            ],
        }

    def write(self, file: Path) -> None:
        """Raises OSError."""
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_json(), indent=2, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("", "due", "found", "off by", "tolerance", "source"):
            table.add_column(column)
        for fit in self.fits:
            style = "" if fit.fits else "bold red"
            table.add_row(
                Text(fit.name),
                fit.due,
                fit.found,
                Text(f"{fit.distance:.3f}", style=style),
                f"{fit.tolerance:g} {fit.measure}",
                fit.source,
            )
        console.print(table)
        failed = sum(not fit.fits for fit in self.fits)
        verdict = "[bold green]every target is met[/]"
        if failed:
            verdict = f"[bold red]{failed} of {len(self.fits)} targets are missed[/]"
        console.print(
            f"{self.events:,} events, {self.viewers:,} viewers, {self.sessions:,} sessions "
            f"in {self.days} days: {verdict}"
        )
