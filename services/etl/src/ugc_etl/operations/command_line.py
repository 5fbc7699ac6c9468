"""The operators' commands of `etl`. Each says in a sentence what failed.

Exit codes: 0 all is well, 1 something is not, 2 it could not be found out or done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import click
import msgspec
from ugc_events import FAMILIES, Family, Reason
from ugc_events.registry import DEAD_LETTERS_TOPIC
from ugc_settings import SettingsError, load

from ugc_etl.adapters.clickhouse import ClickHouse
from ugc_etl.adapters.kafka_tools import KafkaTools
from ugc_etl.app import deployment_of, open_clickhouse
from ugc_etl.operations.audit import Scope, judge
from ugc_etl.operations.audit_report import as_json, table
from ugc_etl.operations.coverage import TooScatteredError
from ugc_etl.operations.dead_letters import (
    Choice,
    as_object,
    as_time,
    chosen,
    inspection,
    listing,
    whole,
)
from ugc_etl.operations.erase import Eraser
from ugc_etl.operations.evidence import gather
from ugc_etl.operations.redrive import Decision, Redrive, Step
from ugc_etl.operations.redrive import report as redrive_report
from ugc_etl.operations.rows_once import Clock, ErasedList, Pace, RowsOnce
from ugc_etl.operations.settings import ToolSettings, WriterSettings
from ugc_etl.ports import OutcomeUnknownError, RefusedError
from ugc_etl.schema import Deployment, ServerRefused

T = TypeVar("T")

CLOCK = Clock(time.monotonic, time.sleep)
_ANSWER_S = 600.0
"""ClickHouse tells its progress while it works; silence for so long is a failure."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What a command works on.

    Attributes:
        families: by topic, with the deployment's prefix.
        letters_topic: of the dead letters.
    """

    kafka: KafkaTools
    clickhouse: ClickHouse
    deployment: Deployment
    families: Mapping[str, Family]
    letters_topic: str
    group: str


@contextmanager
def open_stores(settings: ToolSettings) -> Iterator[Stores]:
    """Kafka and ClickHouse of the settings; a failure ends the command with its sentence."""
    prefix = settings.kafka.kafka_topic_prefix
    kafka = KafkaTools(settings.kafka.librdkafka())
    clickhouse = open_clickhouse(settings.clickhouse, _ANSWER_S)
    try:
        yield Stores(
            kafka,
            clickhouse,
            deployment_of(settings.clickhouse),
            {family.topic_of(prefix): family for family in FAMILIES},
            prefix + DEAD_LETTERS_TOPIC,
            settings.kafka_group_id,
        )
    except (RefusedError, OutcomeUnknownError, ServerRefused, TooScatteredError) as error:
        click.echo(f"could not: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("interrupted; repeating the command goes on", err=True)
        sys.exit(130)
    finally:
        clickhouse.close()
        kafka.close()


def progress(sentence: str) -> None:
    """Tell what goes on, beside the answer."""
    click.echo(f"… {sentence}", err=True)


@click.command()
@click.option("--topic", help="Only this topic, with the deployment's prefix.")
@click.option("--partition", type=click.IntRange(0), help="Only this partition.")
@click.option("--from-offset", type=click.IntRange(0), help="From this offset on.")
@click.option("--to-offset", type=click.IntRange(0), help="Up to before this offset.")
@click.option("--json", "wants_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def audit(
    environ: Mapping[str, str],
    topic: str | None,
    partition: int | None,
    from_offset: int | None,
    to_offset: int | None,
    wants_json: bool,
) -> None:
    """Prove that every record is one row, one dead letter or erased.

    Everything up to the committed offsets, or a range of one partition. Changes nothing.
    """
    settings = load_settings(ToolSettings, environ)
    try:
        scope = Scope(topic, partition, from_offset, to_offset)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with open_stores(settings) as stores:
        verdicts = [
            judge(evidence)
            for evidence in gather(
                kafka=stores.kafka,
                sql=stores.clickhouse,
                deployment=stores.deployment,
                families=stores.families,
                letters_topic=stores.letters_topic,
                group=stores.group,
                scope=scope,
                now_ms=int(time.time() * 1000),
                on_progress=progress,
            )
        ]
    if not verdicts:
        click.echo("there is nothing of that kind to audit", err=True)
        sys.exit(2)
    click.echo(as_json(verdicts) if wants_json else table(verdicts))
    sys.exit(0 if all(verdict.exact for verdict in verdicts) else 1)


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
        since_ms=_ms(since),
        until_ms=_ms(until),
    )


def _ms(time_: datetime | None) -> int | None:
    return None if time_ is None else int(time_.replace(tzinfo=UTC).timestamp() * 1000)


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
        erased = ErasedList(stores.clickhouse, stores.deployment, CLOCK)
        redrive = Redrive(
            kafka=stores.kafka,
            sql=stores.clickhouse,
            deployment=stores.deployment,
            families=stores.families,
            letters_topic=stores.letters_topic,
            group=stores.group,
            rows=rows_once(stores, settings),
            erased=erased,
            pseudonym_key=settings.pseudonym_key.reveal().encode(),
            now_ms=int(time.time() * 1000),
        )
        records = chosen(stores.kafka, stores.letters_topic, _choice(**choice))
        pace = Pace(per_second, CLOCK)
        decisions: list[Decision] = []
        for page in whole(stores.kafka, stores.letters_topic, records):
            decided = redrive.decide(page)
            done = redrive.apply(decided, pace) if apply else decided
            decisions += (replace(each, row=None) for each in done)
            progress(f"{len(decisions):,} of {len(records):,} dead letters")
        click.echo(redrive_report(decisions, applied=apply))
        if not apply and any(each.step is not Step.STAY for each in decisions):
            click.echo("nothing was done; --apply does it")


@click.command()
@click.option("--user", type=click.UUID, required=True, help="The user's id.")
@click.option("--apply", is_flag=True, help="Do it; without this, only say what there is.")
@click.pass_obj
def erase(environ: Mapping[str, str], /, user: UUID, apply: bool) -> None:
    """Remove a user: rows, mart rows and dead letters, of all records up to now.

    Takes as long as an insert may be in flight, about a minute. May be interrupted and repeated.
    """
    settings = load_settings(WriterSettings, environ)
    with open_stores(settings.tools) as stores:
        eraser = Eraser(
            user=user,
            kafka=stores.kafka,
            sql=stores.clickhouse,
            deployment=stores.deployment,
            families=stores.families,
            letters_topic=stores.letters_topic,
            group=stores.group,
            pseudonym_key=settings.pseudonym_key.reveal().encode(),
            deadline_s=settings.insert_deadline_s,
            clock=CLOCK,
            on_progress=progress,
        )
        known = eraser.listed()
        if known is not None:
            state = "completed" if known.completed else "begun and not completed"
            click.echo(f"an erasure of {as_time(known.cutoff_ms)} UTC is {state}")
        click.echo(f"there are {eraser.find(int(time.time() * 1000))}")
        if not apply:
            click.echo("nothing was done; --apply erases it")
            return
        left = eraser.erase()
    click.echo(f"erased; left of earlier records: {left}")
    sys.exit(0 if left.nothing_older else 1)


def rows_once(stores: Stores, settings: WriterSettings) -> RowsOnce:
    """What inserts rows for the commands."""
    return RowsOnce(
        stores.clickhouse,
        stores.clickhouse,
        stores.deployment,
        CLOCK,
        pseudonym_key=settings.pseudonym_key.reveal().encode(),
        deadline_s=settings.insert_deadline_s,
    )


def load_settings(kind: type[T], environ: Mapping[str, str]) -> T:
    """The settings, or the end with a line for each that is wrong."""
    try:
        return load(kind, environ)
    except SettingsError as error:
        click.echo(error, err=True)
        sys.exit(2)
