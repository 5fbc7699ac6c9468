"""The forms of the tools: `ugc status`, `send`, `query` and `logs`."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import click
import msgspec
from rich.markup import escape

from ugc_local.credentials import ANALYST
from ugc_local.generator import token_minter
from ugc_local.guide import VIEWER, films
from ugc_local.invocation import DEFAULT_DATA_DIR
from ugc_local.kafka.client import KafkaClientError
from ugc_local.state import StateError
from ugc_local.terminal import Terminal
from ugc_local.tools.events_input import Given, InputError, read_events
from ugc_local.tools.examples import event_types, example
from ugc_local.tools.logs import Line, LogError, choose, follow, tail
from ugc_local.tools.query import AskError, ask
from ugc_local.tools.running import NothingRunsError, find_stack
from ugc_local.tools.send import SendError, Sent, identified, send
from ugc_local.tools.status import gather
from ugc_local.tools.status_text import status_text

_FAILURES = (
    AskError,
    InputError,
    KafkaClientError,
    LogError,
    NothingRunsError,
    SendError,
    StateError,
)
_NOTHING_RUNS = 3
_PROGRESS_EVERY = 10_000

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Holds the data, logs and secrets of the stack.",
)


@click.command("status")
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status_command(data_dir: Path, as_json: bool) -> None:
    """Show what runs, how well, and how far the events have come.

    Every process is asked by its own probe. Ends with 0 when all is well, 1 when something is
    not, 3 when nothing runs on the data directory.
    """
    terminal = Terminal()

    def show() -> int:
        try:
            stack = find_stack(data_dir)
        except NothingRunsError as nothing:
            terminal.err.print(escape(str(nothing)))
            return _NOTHING_RUNS
        found = gather(stack, data_dir, time.time())
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(found)))
        else:
            terminal.out.print(status_text(found))
        return 0 if found.healthy else 1

    terminal.attempt(show, failures=_FAILURES)


@click.command("send")
@data_dir_option
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--user", type=click.UUID, default=VIEWER, help="The viewer whose events they are.")
@click.option(
    "--example",
    "example_type",
    type=click.Choice(sorted(event_types())),
    metavar="TYPE",
    help=f"Send an example instead of FILE: {', '.join(sorted(event_types()))}.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be sent, one event a line.")
def send_command(
    data_dir: Path, file: BinaryIO, user: UUID, example_type: str | None, dry_run: bool
) -> None:
    """Send events to the API as a viewer's app would.

    FILE (standard input without one, or for -) holds a JSON object, an array of them, or one a
    line. Events go in batches; one without an event_id gets one, so that a request of unknown
    outcome can be repeated. Prints a line for each event that the API refuses, with its field and
    the reason, and a summary. Ends with 0 only if all were accepted.
    """
    terminal = Terminal()

    def play() -> int:
        events = _example(example_type) if example_type else read_events(_readable(file, terminal))
        if dry_run:
            for given in events:
                sane = given.fault() is None
                click.echo(identified(given.data, uuid.uuid4) if sane else given.data)
            return 0
        stack = find_stack(data_dir)
        mint = token_minter(stack.credentials.jwt_secret, issued_at_s=int(time.time()))
        tally = Sent()
        try:
            for refused in send(
                _with_progress(events, terminal),
                stack.state.endpoints.api_url,
                mint(user),
                new_id=uuid.uuid4,
                tally=tally,
                say=terminal.step,
            ):
                click.echo(str(refused))
        finally:
            click.echo(str(tally))
        return 1 if tally.refused else 0

    terminal.attempt(play, failures=_FAILURES, interrupted="interrupted")


def _example(type_name: str) -> Iterator[Given]:
    now = datetime.now(UTC)
    event = example(event_types()[type_name], films()[0], now)
    return iter([Given("example", json.dumps(event, ensure_ascii=False).encode())])


def _readable(file: BinaryIO, terminal: Terminal) -> BinaryIO:
    if file.isatty():
        terminal.step("reading events from the keyboard: end with Ctrl-D")
    return file


def _with_progress(events: Iterator[Given], terminal: Terminal) -> Iterator[Given]:
    for number, given in enumerate(events, 1):
        yield given
        if number % _PROGRESS_EVERY == 0:
            terminal.step(f"{number:,} read")


@click.command("query")
@data_dir_option
@click.argument("sql", required=False)
@click.option(
    "--format",
    "output_format",
    metavar="FORMAT",
    help="Any of ClickHouse's; without one, a table on a terminal and TSVWithNames on a pipe.",
)
def query_command(data_dir: Path, sql: str | None, output_format: str | None) -> None:
    """Ask ClickHouse as an analyst.

    SQL (standard input without it) is one statement; the views are in the database analytics. An
    analyst may read, and has a minute for each question.
    """
    terminal = Terminal()

    def put() -> None:
        stack = find_stack(data_dir)
        statement = sql if sql is not None else _readable(sys.stdin.buffer, terminal).read()
        text = statement if isinstance(statement, str) else statement.decode(errors="replace")
        if not text.strip():
            raise AskError("there is no statement: ugc query 'SELECT 1', or SQL on stdin")
        coloured = terminal.interactive and not terminal.out.no_color
        chosen = "PrettyCompactMonoBlock" if terminal.interactive else "TSVWithNames"
        for piece in ask(
            stack.state.endpoints.clickhouse_http_url,
            (ANALYST, stack.credentials.analyst_password),
            text,
            default_format=output_format or chosen,
            settings={"output_format_pretty_color": str(int(coloured))},
        ):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()

    terminal.attempt(put, failures=_FAILURES, interrupted="interrupted; the query is stopped")


@click.command("logs")
@data_dir_option
@click.argument("processes", nargs=-1, metavar="[PROCESS]...")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what is written.")
@click.option("-n", "lines", type=click.IntRange(0), default=10, help="Last lines of each log.")
def logs_command(data_dir: Path, processes: tuple[str, ...], following: bool, lines: int) -> None:
    """Show the last lines of the logs, each with its process's name.

    Also of a stack that was stopped. With -f it follows logs through their rotation and takes up
    new processes, until Ctrl-C (status 130).
    """
    terminal = Terminal()

    def show() -> None:
        width = max(map(len, choose(data_dir, processes)))
        found = (
            follow(data_dir, processes, lines)
            if following
            else tail(choose(data_dir, processes), lines)
        )
        for line in found:
            _print(terminal, line, width)

    terminal.attempt(show, failures=_FAILURES)


_COLOURS = ("cyan", "magenta", "yellow", "green", "blue")


def _print(terminal: Terminal, line: Line, width: int) -> None:
    colour = _COLOURS[sum(line.process.encode()) % len(_COLOURS)]
    name = line.process.ljust(width)
    terminal.out.print(f"[{colour}]{escape(name)} |[/] {escape(line.text)}")
    terminal.out.file.flush()
