"""`etl dead-letters`: list, inspect, redrive."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
import msgspec
from ugc_events import Reason

from ugc_etl.operations.dead_letters import (
    Choice,
    as_object,
    chosen,
    inspection,
    listing,
    whole,
)
from ugc_etl.operations.ports import LetterRecord
from ugc_etl.operations.redrive import Decision, Redrive, Step
from ugc_etl.operations.redrive import report as redrive_report
from ugc_etl.operations.rows_once import ErasedList, Pace
from ugc_etl.operations.settings import ToolSettings, WriterSettings
from ugc_etl.operations.stores import (
    CLOCK,
    Stores,
    in_ms,
    load_settings,
    now_ms,
    open_stores,
    progress,
    rows_once,
    writing,
)


@click.group("dead-letters")
def dead_letters() -> None:
    """Look at records that could not be taken, and take them once they can be."""


_CHOICE = (
    click.option("--topic", help="Of the original record, with the deployment's prefix."),
    click.option("--reason", type=click.Choice([reason.value for reason in Reason])),
    click.option(
        "--since", type=click.DateTime(), help="Refused first at this time (UTC) or later."
    ),
    click.option("--until", type=click.DateTime(), help="Refused first before this time (UTC)."),
)


def _with_choice(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_CHOICE):
        command = option(command)
    return command


def _choice(topic: str | None, reason: str | None, since: Any, until: Any) -> Choice:
    return Choice(
        topic=topic,
        reason=None if reason is None else Reason(reason),
        since_ms=in_ms(since),
        until_ms=in_ms(until),
    )


@dead_letters.command("list")
@_with_choice
@click.option("--limit", default=100, show_default=True, help="Lines at the most.")
@click.option("--json", "wants_json", is_flag=True, help="Print JSON, without a limit.")
@click.pass_obj
def list_letters(
    environ: Mapping[str, str], /, limit: int, wants_json: bool, **choice: Any
) -> None:
    """Say which dead letters there are."""
    with open_stores(load_settings(ToolSettings, environ)) as stores:
        records = chosen(stores.kafka, stores.letters_topic, _choice(**choice))
    if wants_json:
        click.echo(msgspec.json.encode([as_object(record) for record in records]))
    else:
        click.echo(listing(records, limit))


@dead_letters.command()
@click.argument("topic")
@click.argument("partition", type=click.IntRange(0))
@click.argument("offset", type=click.IntRange(0))
@click.option("--raw", is_flag=True, help="Print the original value only, byte for byte.")
@click.pass_obj
def inspect(environ: Mapping[str, str], topic: str, partition: int, offset: int, raw: bool) -> None:
    """Show everything that is known of the dead letter of one place."""
    with open_stores(load_settings(ToolSettings, environ)) as stores:
        records = chosen(stores.kafka, stores.letters_topic, Choice(topic, partition, offset))
        pages = list(whole(stores.kafka, stores.letters_topic, records))
    letters = [record.letter for page in pages for record in page if record.letter is not None]
    if not letters:
        click.echo(f"{topic}[{partition}] {offset} is no dead letter", err=True)
        sys.exit(1)
    for letter in letters:
        if raw:
            click.echo(letter.value or b"", nl=False)
        else:
            click.echo(inspection(letter))


@dead_letters.command("redrive")
@_with_choice
@click.option("--apply", is_flag=True, help="Do it; without this, only say what would be done.")
@click.option("--per-second", default=50.0, show_default=True, help="Letters a second at the most.")
@click.pass_obj
def redrive_letters(
    environ: Mapping[str, str], /, apply: bool, per_second: float, **choice: Any
) -> None:
    """Decode dead letters again; those that can be taken now become rows.

    What still cannot be taken stays. May be interrupted and repeated.
    """
    settings = load_settings(WriterSettings, environ)
    with open_stores(settings.tools) as stores:
        redrive = Redrive(
            kafka=stores.kafka,
            sql=stores.clickhouse,
            deployment=stores.deployment,
            families=stores.families,
            letters_topic=stores.letters_topic,
            group=stores.group,
            rows=rows_once(stores, settings),
            erased=ErasedList(stores.clickhouse, stores.deployment, CLOCK),
            pseudonym_key=settings.pseudonym_key.reveal().encode(),
            now_ms=now_ms(),
        )
        if apply:
            pace = Pace(per_second, CLOCK)
            with writing(stores, settings, "etl dead-letters redrive") as lease:
                decisions = _by_page(
                    stores,
                    _choice(**choice),
                    lambda page: redrive.apply(redrive.decide(page), lease, pace),
                )
        else:
            decisions = _by_page(stores, _choice(**choice), redrive.decide)
        click.echo(redrive_report(decisions, applied=apply))
        if not apply and any(each.step is not Step.STAY for each in decisions):
            click.echo("nothing was done; --apply does it")


def _by_page(
    stores: Stores,
    choice: Choice,
    decide: Callable[[Sequence[LetterRecord]], Iterable[Decision]],
) -> list[Decision]:
    """The decisions about the chosen letters, without their rows."""
    records = chosen(stores.kafka, stores.letters_topic, choice)
    decisions: list[Decision] = []
    for page in whole(stores.kafka, stores.letters_topic, records):
        decisions += (replace(each, row=None) for each in decide(page))
        progress(f"{len(decisions):,} of {len(records):,} dead letters")
    return decisions
