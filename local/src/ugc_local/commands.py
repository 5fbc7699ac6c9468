"""The commands of `ugc`. This is where the environment is read."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console
from rich.markup import escape

from ugc_local.credentials import ADMIN
from ugc_local.demo.analyst import Analyst, QueryError
from ugc_local.demo.run import Demo, DemoError, DemoOptions, load_catalogue
from ugc_local.generator import Plan, ReplayError, token_minter
from ugc_local.guide import first_steps
from ugc_local.interruption import Interruption
from ugc_local.kafka.client import KafkaClientError
from ugc_local.options import PortChoice, StackOptions
from ugc_local.stack import Stack, StackError, stop_stack

_FAILURES = (StackError, ReplayError, DemoError, QueryError, KafkaClientError)

_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/local"),
    show_default=True,
    help="Holds the data, logs and secrets of the stack.",
)
_port = click.IntRange(1, 65535)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def ugc() -> None:
    """The whole platform on one machine: Kafka, ClickHouse, API, ETL."""


@ugc.command()
@_data_dir
@click.option("--consumers", default=2, type=click.IntRange(1, 64), help="ETL processes.")
@click.option("--api-port", type=_port, help="Of the API; else a free one.")
@click.option("--clickhouse-http-port", type=_port, help="Of ClickHouse's HTTP; else a free one.")
def up(
    data_dir: Path, consumers: int, api_port: int | None, clickhouse_http_port: int | None
) -> None:
    """Start the platform and leave it running; say how to use it."""
    console = Console()
    ports = PortChoice(api=api_port, clickhouse_http=clickhouse_http_port)
    options = StackOptions(data_dir, etl_consumers=consumers, ports=ports)

    def start() -> None:
        with Stack(options, os.environ, lambda step: console.print(f"  {step}")) as stack:
            secrets = stack.credentials
            admin = Analyst(stack.clickhouse_http_url, ADMIN, secrets.admin_password)
            now = datetime.now(UTC)
            plan = Plan(seed=1, day=now.date(), target_events=0)
            load_catalogue(admin, plan.catalogue)
            mint = token_minter(secrets.jwt_secret, issued_at_s=int(time.time()))
            page = first_steps(stack.endpoints, secrets, mint, plan.catalogue[0], now, data_dir)
            stack.detach()
        click.echo(page)

    _attempt(console, start)


@ugc.command()
@_data_dir
def down(data_dir: Path) -> None:
    """Stop what `up` started. The data stay."""
    console = Console()

    def stop() -> None:
        stopped = stop_stack(data_dir, lambda step: console.print(f"  {step}"))
        console.print("stopped" if stopped else f"nothing was running on {data_dir}")

    _attempt(console, stop)


@ugc.command()
@click.option("--events", default=200_000, type=click.IntRange(1), help="Sent over HTTP.")
@click.option("--seed", default=1, help="The same seed and day make the same events.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="A day that has ended: yesterday.")
@click.option("--time-zone", default="UTC", help="Of the audience's hours, such as Asia/Tokyo.")
@click.option("--pause", is_flag=True, help="Wait for a key before comparing; prints how to look.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/demo"),
    help="Of the demo's own stack; emptied first.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/reports/demo.json"),
    help="The figures as JSON.",
)
def demo(
    events: int,
    seed: int,
    day: datetime | None,
    time_zone: str,
    pause: bool,
    data_dir: Path,
    report: Path,
) -> None:
    """Replay a day of an online cinema and compare every figure with the truth."""
    console = Console()
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    chosen = day.date() if day else yesterday
    if chosen > yesterday:
        raise click.BadParameter("the day has not ended (UTC)", param_hint="--day")
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise click.BadParameter(
            f"no such time zone: {time_zone}", param_hint="--time-zone"
        ) from error
    options = DemoOptions(
        data_dir=data_dir,
        report=report,
        events=events,
        seed=seed,
        day=chosen,
        time_zone=time_zone,
        before_comparison=_wait_for_key if pause else lambda _admin: None,
    )

    def play() -> None:
        found = Demo(options, os.environ, console).run()
        found.show(console)
        console.print(f"[dim]figures as JSON: {report}[/]")
        if not found.match:
            sys.exit(1)

    _attempt(console, play)


def _wait_for_key(admin: Analyst) -> None:
    click.echo(f"ClickHouse holds everything; an administrator reaches it so:\n  {admin.curl()}")
    click.pause("Press any key to compare …")


def _attempt(console: Console, action: Callable[[], None]) -> None:
    """Run it; a failure that has a sentence gets that sentence and a status, no traceback."""
    interruption = Interruption()
    interruption.listen()
    try:
        action()
    except BaseException as error:
        # Asked first: an exception that a signal's handler raises may strike inside a lock's own
        # code, and come out as another.
        if (status := interruption.exit_status) is not None:
            console.print("interrupted; nothing is left running")
            sys.exit(status)
        if not isinstance(error, _FAILURES):
            raise
        console.print(f"[bold red]failed:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
