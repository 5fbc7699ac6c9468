"""The commands of `ugc`. Their context's object is the environment that they run in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console

from ugc_local.credentials import ADMIN, Credentials, keep_credentials
from ugc_local.demo.analyst import Analyst, QueryError
from ugc_local.demo.forms import (
    day_option,
    days_option,
    first_day,
    generate_command,
    likeness_command,
)
from ugc_local.demo.run import Demo, DemoError, DemoOptions, load_catalogue
from ugc_local.generator import ReplayError, token_minter
from ugc_local.guide import films, first_steps
from ugc_local.invocation import typed
from ugc_local.kafka.client import KafkaClientError
from ugc_local.options import PortChoice, StackOptions
from ugc_local.stack import Stack
from ugc_local.stack_error import AlreadyRunsError, StackError
from ugc_local.state import Endpoints
from ugc_local.stopping import stop_stack
from ugc_local.terminal import Terminal
from ugc_local.tools.forms import (
    data_dir_option,
    logs_command,
    query_command,
    send_command,
    status_command,
)

_FAILURES = (StackError, ReplayError, DemoError, QueryError, KafkaClientError)
_INTERRUPTED = "interrupted; nothing is left running"

_port = click.IntRange(1, 65535)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def ugc() -> None:
    """The whole platform on one machine: Kafka, ClickHouse, API, ETL."""


for command in (
    status_command,
    send_command,
    query_command,
    logs_command,
    generate_command,
    likeness_command,
):
    ugc.add_command(command)


@ugc.command()
@data_dir_option
@click.option("--consumers", type=click.IntRange(1, 64), help="ETL processes; else 2.")
@click.option("--api-port", type=_port, help="Of the API; else a free one.")
@click.option("--clickhouse-http-port", type=_port, help="Of ClickHouse's HTTP; else a free one.")
@click.option("--clickhouse-native-port", type=_port, help="Of its native protocol; likewise.")
@click.option("--kafka-port", type=_port, help="Of Kafka; likewise.")
@click.pass_obj
def up(
    environ: Mapping[str, str],
    data_dir: Path,
    consumers: int | None,
    api_port: int | None,
    clickhouse_http_port: int | None,
    clickhouse_native_port: int | None,
    kafka_port: int | None,
) -> None:
    """Start the platform and leave it running; say how to use it.

    The data of an earlier run are gone on with, at the same addresses where no others are asked
    for. After a crash, of a part or of all, the same command starts again what is missing; where
    all runs it says how to use it.
    """
    terminal = Terminal()
    ports = PortChoice(
        kafka=kafka_port,
        clickhouse_native=clickhouse_native_port,
        clickhouse_http=clickhouse_http_port,
        api=api_port,
    )
    options = StackOptions(data_dir, etl_consumers=consumers or 2, ports=ports)

    def start() -> None:
        stack = Stack(options, environ, terminal.step)
        try:
            with stack:
                admin = Analyst(stack.clickhouse_http_url, ADMIN, stack.credentials.admin_password)
                load_catalogue(admin, films())
                page = _page(stack.endpoints, stack.credentials, data_dir)
                stack.detach()
        except AlreadyRunsError as running:
            if consumers or ports.given():
                raise
            terminal.step(f"it runs already: {typed('status', data_dir)} says how well")
            page = _page(running.state.endpoints, keep_credentials(data_dir), data_dir)
        click.echo(page)

    terminal.attempt(start, failures=_FAILURES, interrupted=_INTERRUPTED)


@ugc.command()
@data_dir_option
def down(data_dir: Path) -> None:
    """Stop what `up` started. The data stay."""
    terminal = Terminal()

    def stop() -> None:
        stopped = stop_stack(data_dir, terminal.step)
        click.echo("stopped" if stopped else f"nothing was running on {data_dir}")

    terminal.attempt(stop, failures=_FAILURES, interrupted="interrupted")


@ugc.command()
@click.option("--events", default=200_000, type=click.IntRange(1), help="Sent over HTTP.")
@click.option("--seed", default=1, help="The same seed and days make the same events.")
@days_option
@day_option
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
@click.pass_obj
def demo(
    environ: Mapping[str, str],
    events: int,
    seed: int,
    days: int,
    day: datetime | None,
    time_zone: str,
    pause: bool,
    data_dir: Path,
    report: Path,
) -> None:
    """Play days of a cinema, compare every figure with the truth.

    Starts a stack of its own and stops it. Ends with 0 only if every figure matches.
    """
    terminal = Terminal()
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
        day=first_day(day, days, datetime.now(UTC)),
        days=days,
        time_zone=time_zone,
        before_comparison=_wait_for_key if pause else lambda _admin: None,
    )

    def play() -> int:
        console = Console()
        found = Demo(options, environ, console).run()
        found.show(console)
        console.print(f"[dim]figures as JSON: {report}[/]")
        return 0 if found.match else 1

    terminal.attempt(play, failures=_FAILURES, interrupted=_INTERRUPTED)


def _page(endpoints: Endpoints, secrets: Credentials, data_dir: Path) -> str:
    mint = token_minter(secrets.jwt_secret, issued_at_s=int(time.time()))
    film = films()[0]
    return first_steps(endpoints, secrets, mint, film, datetime.now(UTC), data_dir)


def _wait_for_key(admin: Analyst) -> None:
    click.echo(f"ClickHouse holds everything; an administrator reaches it so:\n  {admin.curl()}")
    click.pause("Press any key to compare …")
