"""The forms of `ugc generate` and `ugc likeness`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from ugc_local.credentials import ADMIN
from ugc_local.demo.analyst import Analyst, QueryError
from ugc_local.demo.generate import Target, generate
from ugc_local.demo.run import DemoError
from ugc_local.generator import JournalError, Likeness, Outcome, Plan, ReplayError
from ugc_local.kafka.client import KafkaClient, KafkaClientError
from ugc_local.state import StateError
from ugc_local.terminal import Terminal
from ugc_local.tools.forms import data_dir_option
from ugc_local.tools.running import NothingRunsError, find_stack

_FAILURES = (
    DemoError,
    JournalError,
    KafkaClientError,
    NothingRunsError,
    QueryError,
    ReplayError,
    StateError,
)
_SAMPLE_DAY = date(2026, 1, 12)
"""A Monday: the sample holds whole weeks, and any day of the past would do."""

day_option = click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The last day, which has ended (UTC); without it, yesterday.",
)
days_option = click.option(
    "--days", default=1, type=click.IntRange(1, 366), help="How many, one after the other."
)


def first_day(last: datetime | None, days: int, now: datetime) -> date:
    """The first of `days` days, of which the last is `last` or yesterday.

    Raises click.BadParameter where the last has not ended.
    """
    yesterday = now.date() - timedelta(days=1)
    chosen = last.date() if last else yesterday
    if chosen > yesterday:
        raise click.BadParameter("the day has not ended (UTC)", param_hint="--day")
    return chosen - timedelta(days=days - 1)


@click.command("generate")
@data_dir_option
@click.option("--events", default=200_000, type=click.IntRange(1), help="Of all days together.")
@days_option
@day_option
@click.option("--seed", default=1, help="The same seed and days make the same events.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events a second at most.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="How far it has come; in the data directory without one.",
)
def generate_command(
    data_dir: Path,
    events: int,
    days: int,
    day: datetime | None,
    seed: int,
    rate: float | None,
    state: Path | None,
) -> None:
    """Play days of viewing into the platform that `ugc up` started.

    Interrupted or killed, the same command goes on where it was; once all is sent it sends
    nothing more, until the state file is removed or another seed, day or size is asked for.
    """
    terminal = Terminal()
    plan = Plan(seed, first_day(day, days, datetime.now(UTC)), events, days)
    name = f"generate-{seed}-{plan.day}-{days}-{events}.json"

    def play() -> int:
        stack = find_stack(data_dir)
        endpoints, secrets = stack.state.endpoints, stack.credentials
        target = Target(
            endpoints.api_url,
            secrets.jwt_secret,
            KafkaClient(endpoints.kafka_bootstrap),
            Analyst(endpoints.clickhouse_http_url, ADMIN, secrets.admin_password),
        )
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(
            *columns, console=terminal.err, disable=not terminal.err.is_terminal
        ) as progress:
            sent = progress.add_task("sent", total=events)
            outcome = generate(
                plan,
                target,
                state or data_dir / name,
                rate_per_s=rate,
                on_progress=lambda count: progress.update(sent, completed=count),
            )
        click.echo(_summary(outcome))
        return 1 if outcome.mismatches else 0

    terminal.attempt(play, failures=_FAILURES, interrupted="interrupted; the same command goes on")


def _summary(outcome: Outcome) -> str:
    lines = [
        f"{outcome.events:,} events sent in {outcome.seconds:.1f} s",
        f"{outcome.accepted:,} accepted, {sum(outcome.rejected.values()):,} refused, "
        f"{outcome.poison:,} poison records put into Kafka",
        f"{outcome.mismatches:,} answers that were not due",
    ]
    if outcome.unknown_outcomes:
        lines.append(f"{outcome.unknown_outcomes:,} times an answer is unknown; it was repeated")
    return "\n".join([*lines, *outcome.examples])


@click.command("likeness")
@click.option("--events", default=2_000_000, type=click.IntRange(100_000), help="Of the sample.")
@click.option("--seed", default=1, help="Of the sample.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/reports/generator.json"),
    help="The same as JSON.",
)
def likeness_command(events: int, seed: int, report: Path) -> None:
    """Measure a week of generated viewing against published figures.

    Ends with 0 if every target is met. The default sample takes about a minute.
    """
    terminal = Terminal()

    def measure() -> int:
        terminal.step(f"generating {events:,} events of a week, seed {seed}")
        found = Likeness.of(Plan(seed, _SAMPLE_DAY, events, days=7))
        try:
            found.write(report)
        except OSError as error:
            raise DemoError(f"the report cannot be written: {error}") from error
        found.show(terminal.out)
        terminal.step(f"figures as JSON: {report}")
        return 0 if found.like else 1

    terminal.attempt(measure, failures=_FAILURES, interrupted="interrupted")
