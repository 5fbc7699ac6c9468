"""The report of a demo: what a person reads, and the same figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ugc_local.demo.answers import AudienceHour, by_hour_of_day
from ugc_local.demo.compare import Difference

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_EIGHTHS_WIDE = " ▏▎▍▌▋▊▉"
_CELLS = 64
_SHOWN_DIFFERENCES = 20


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that a demo found out.

    Attributes:
        day, days: the first day that was replayed, as text, and how many there were.
        time_zone: of the audience's hours.
        events_sent: events submitted over HTTP, client retries and malformed ones among them.
        accepted, rejected: what the API answered; `rejected` by (field, reason).
        dead_letters: by reason, as the dead-letter topic holds them.
        rows, events_visible: raw rows, and different events among them.
        replay_s: from the first request to the last row visible; seconds: the whole run.
        freshness_p50_s, freshness_p99_s: accepted to visible; None where nothing was sampled.
        answer_p50_ms, answer_p99_ms: the API's answers, as the clients saw them.
        repeated_requests: attempts without an answer, which clients repeated. Where there are
            any, more raw rows than were due are no difference.
        most_watched, abandoned, audience, leaving: the analyst's answers. `leaving` is the title
            and the retention by minute of the film that most viewers abandon.
        peak_rss_mib: by process, and their greatest sum under "all together".
        peaks_mib: the same by process up to the end of earlier stages; see ReplayedDay.
        compared: how many figures were compared with the truth.
        differences: those that are not as they should be.
        examples: of answers of the API that were not due, in words.
    """

    day: str
    days: int
    time_zone: str
    events_sent: int
    accepted: int
    rejected: Mapping[tuple[str, str], int]
    dead_letters: Mapping[str, int]
    rows: int
    events_visible: int
    replay_s: float
    seconds: float
    freshness_p50_s: float | None
    freshness_p99_s: float | None
    answer_p50_ms: float
    answer_p99_ms: float
    repeated_requests: int
    most_watched: Sequence[Mapping[str, Any]]
    abandoned: Sequence[Mapping[str, Any]]
    leaving: Sequence[tuple[str, Sequence[float]]]
    audience: Sequence[AudienceHour]
    peak_rss_mib: Mapping[str, float]
    peaks_mib: Mapping[str, Mapping[str, float]]
    compared: int
    differences: Sequence[Difference]
    examples: Sequence[str] = ()

    @property
    def match(self) -> bool:
        """Whether every compared figure is the truth."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """The figures under stable keys, for machines."""
        return {
            "match": self.match,
            "days": self.days,
            "events_sent": self.events_sent,
            "events_visible": self.events_visible,
            "rejected": sum(self.rejected.values()),
            "dead_letters": sum(self.dead_letters.values()),
            "seconds": round(self.seconds, 1),
            "freshness_p50_s": self.freshness_p50_s,
            "freshness_p99_s": self.freshness_p99_s,
            "peak_rss_mib": {name: round(mib, 1) for name, mib in self.peak_rss_mib.items()},
            "peak_rss_mib_up_to": {
                stage: {name: round(mib, 1) for name, mib in peaks.items()}
                for stage, peaks in self.peaks_mib.items()
            },
            "accepted": self.accepted,
            "rows": self.rows,
            "replay_seconds": round(self.replay_s, 1),
            "events_per_second": round(self.events_sent / self.replay_s, 1),
            "answer_p50_ms": self.answer_p50_ms,
            "answer_p99_ms": self.answer_p99_ms,
            "repeated_requests": self.repeated_requests,
            "rejected_by_reason": {
                f"{field or 'event'}: {reason}": count
                for (field, reason), count in sorted(self.rejected.items())
            },
            "dead_letters_by_reason": dict(sorted(self.dead_letters.items())),
            "figures_compared": self.compared,
            "differences": [str(difference) for difference in self.differences],
            "examples": list(self.examples),
        }

    def show(self, console: Console) -> None:
        """Print the report."""
        more = f" and the {self.days - 1} days after it" if self.days > 1 else ""
        console.rule(f"[bold]{self.day}{more} at the cinema")
        parts: list[tuple[str, RenderableType]] = [
            ("Most watched", _most_watched(self.most_watched)),
            (
                "Abandoned most, with quartiles of how much of the film was watched",
                _abandoned(self.abandoned),
            ),
            *(
                (f"Who still watches “{title}”, minute by minute", _retention(shares))
                for title, shares in self.leaving
            ),
            (
                f"Audience by hour, {self.time_zone} (≈, different viewers"
                f"{', mean of the days' if self.days > 1 else ''})",
                _audience(by_hour_of_day(self.audience, self.days)),
            ),
            ("Refused", _refused(self.rejected, self.dead_letters)),
            ("The pipeline", self._pipeline()),
        ]
        for title, body in parts:
            console.print()
            console.print(Text(title, style="bold cyan"))
            console.print(Padding.indent(body, 2))
        console.print()
        self._verdict(console)

    def _pipeline(self) -> Table:
        table = Table.grid(padding=(0, 2))
        rate = self.events_sent / self.replay_s
        repeated = self.rows - self.events_visible
        for name, value in (
            (
                "sent over HTTP",
                f"{self.events_sent:,} events in {self.replay_s:.1f} s, {rate:,.0f}/s",
            ),
            ("accepted", f"{self.accepted:,}, of which {repeated:,} are clients' repeats"),
            ("visible", f"{self.rows:,} rows, {self.events_visible:,} different events"),
            (
                "freshness",
                f"accepted to visible: p50 {_s(self.freshness_p50_s)}, "
                f"p99 {_s(self.freshness_p99_s)}",
            ),
            ("API answers", f"p50 {self.answer_p50_ms:.0f} ms, p99 {self.answer_p99_ms:.0f} ms"),
            *(
                [
                    (
                        "without answer",
                        f"{self.repeated_requests:,} attempts, repeated: more rows are allowed",
                    )
                ]
                if self.repeated_requests
                else []
            ),
            (
                "peak memory",
                ", ".join(f"{name} {mib:,.0f} MiB" for name, mib in self.peak_rss_mib.items()),
            ),
            ("the whole run", f"{self.seconds:.1f} s"),
        ):
            table.add_row(Text(name, style="dim"), value)
        return table

    def _verdict(self, console: Console) -> None:
        if self.match:
            console.print(
                f"[bold green]ground truth: match[/] ({self.compared:,} figures compared)"
            )
            return
        count = len(self.differences)
        console.print(f"[bold red]ground truth: {count:,} of {self.compared:,} figures differ[/]")
        for difference in self.differences[:_SHOWN_DIFFERENCES]:
            console.print(f"  {difference}", markup=False, highlight=False)
        if count > _SHOWN_DIFFERENCES:
            console.print(f"  … and {count - _SHOWN_DIFFERENCES:,} more, all in the JSON report")
        for example in self.examples:
            console.print(f"  the API's answer: {example}", markup=False, highlight=False)


def _most_watched(films: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(("film", "left"), ("genre", "left"), "min", "viewers", "hours", "finish")
    for film in films:
        table.add_row(
            film["title"],
            film["genre"],
            str(film["film_minutes"]),
            f"{film['viewers']:,}",
            f"{film['watched_minutes'] / 60:,.0f}",
            f"{film['finish_rate']:.0%}",
        )
    return table


def _abandoned(films: Sequence[Mapping[str, Any]]) -> Table:
    """The quartiles say how much of the film a quarter, a half, three quarters did not exceed."""
    table = _table(("film", "left"), "viewers", "leave", "q25", "q50", "q75", "mostly at minute")
    for film in films:
        table.add_row(
            film["title"],
            f"{film['viewers']:,}",
            f"{film['abandonment_rate']:.0%}",
            *(f"{film[f'completion_q{q}']:.0%}" for q in (25, 50, 75)),
            f"{film['drop_off_minute']} of {film['film_minutes']}",
        )
    return table


def _table(*columns: str | tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
    for column in columns:
        name, justify = column if isinstance(column, tuple) else (column, "right")
        table.add_column(name, justify="left" if justify == "left" else "right", no_wrap=True)
    return table


def _retention(shares: Sequence[float]) -> Group:
    """One cell for each minute; where they are more than fit, for each two, three … minutes."""
    step = max(1, -(-len(shares) // _CELLS))
    cells = [shares[start : start + step] for start in range(0, len(shares), step)]
    line = "".join(_EIGHTHS[round(sum(cell) / len(cell) * 8)] for cell in cells)
    marks = "".join(f"{start * step:<10}" for start in range(0, len(cells), 10))
    return Group(Text(line, style="green"), Text(f"{marks.rstrip()} min", style="dim"))


def _audience(hours: Sequence[tuple[str, float]]) -> Table:
    table = Table.grid(padding=(0, 1))
    most = max((viewers for _, viewers in hours), default=1)
    for label, viewers in hours:
        eighths = round(viewers / most * 8 * 40)
        bar = "█" * (eighths // 8) + (_EIGHTHS_WIDE[eighths % 8] if eighths % 8 else "")
        table.add_row(Text(label, style="dim"), Text(bar, style="magenta"), f"{viewers:,.0f}")
    return table


def _refused(rejected: Mapping[tuple[str, str], int], dead: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    for (field, reason), count in sorted(rejected.items(), key=lambda item: (-item[1], item[0])):
        table.add_row("by the API", f"{field or '(event)'}: {reason}", f"{count:,}")
    for reason, count in sorted(dead.items(), key=lambda item: (-item[1], item[0])):
        table.add_row("dead letter", reason, f"{count:,}")
    return table


def _s(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{seconds:.2f} s"
