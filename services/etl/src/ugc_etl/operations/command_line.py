"""`etl audit`, `etl erase` and `etl replay`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import click

from ugc_etl.operations.audit import Scope, Verdict, judge
from ugc_etl.operations.audit_report import as_json, table
from ugc_etl.operations.coverage import Replay
from ugc_etl.operations.dead_letters import as_time
from ugc_etl.operations.erase import Eraser
from ugc_etl.operations.evidence import gather
from ugc_etl.operations.repair import Repair
from ugc_etl.operations.replay import (
    Replayer,
    next_generation,
    ranges_in_time,
    replayable,
    told_range,
    under_way,
)
from ugc_etl.operations.settings import ToolSettings, WriterSettings
from ugc_etl.operations.spans import size
from ugc_etl.operations.stores import (
    CLOCK,
    Stores,
    in_ms,
    load_settings,
    now_ms,
    open_stores,
    progress,
    rework,
    writing,
)
from ugc_etl.records import Partition


@click.command()
@click.option("--topic", help="Only this topic, with the deployment's prefix.")
@click.option("--partition", type=click.IntRange(0), help="Only this partition.")
@click.option("--from-offset", type=click.IntRange(0), help="From this offset on.")
@click.option("--to-offset", type=click.IntRange(0), help="Up to before this offset.")
@click.option("--json", "wants_json", is_flag=True, help="Print JSON.")
@click.option("--repair", is_flag=True, help="Say what would be inserted of what is missing.")
@click.option("--apply", is_flag=True, help="With --repair: insert it, and audit again.")
@click.option("--per-second", default=2.0, show_default=True, help="Inserts a second at the most.")
@click.pass_obj
def audit(
    environ: Mapping[str, str],
    topic: str | None,
    partition: int | None,
    from_offset: int | None,
    to_offset: int | None,
    wants_json: bool,
    repair: bool,
    apply: bool,
    per_second: float,
) -> None:
    """Prove that every record is one row, one dead letter or erased.

    Everything up to the committed offsets, or a range of one partition. Changes nothing, unless
    with --repair --apply: then what is missing is read from Kafka once more and inserted.
    """
    try:
        scope = Scope(topic, partition, from_offset, to_offset)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if apply and not repair:
        raise click.UsageError("--apply belongs to --repair")
    repairing = load_settings(WriterSettings, environ) if repair else None
    settings = load_settings(ToolSettings, environ) if repairing is None else repairing.tools
    with open_stores(settings) as stores:
        if repairing is not None and apply:
            with writing(stores, repairing, "etl audit --repair") as lease:
                # What is missing is asked with the lease: without it, another may be inserting it.
                missing = _missing(_verdicts(stores, scope))
                for verdict in missing:
                    place = verdict.evidence.partition
                    family = stores.families[place.topic]
                    work = rework(Repair, stores, repairing, family, lease, per_second)
                    done = work.repair(place, verdict.missing)
                    click.echo(f"repaired {place}: {done}", err=wants_json)
        verdicts = _verdicts(stores, scope)
        if repairing is not None and not apply:
            for verdict in _missing(verdicts):
                records = size(verdict.missing)
                click.echo(f"would read {records:,} records of {verdict.evidence.partition} again")
            click.echo("nothing was done; --repair --apply inserts what is missing")
    if not verdicts:
        click.echo("there is nothing of that kind to audit", err=True)
        sys.exit(2)
    click.echo(as_json(verdicts) if wants_json else table(verdicts))
    sys.exit(0 if all(verdict.exact for verdict in verdicts) else 1)


def _verdicts(stores: Stores, scope: Scope) -> list[Verdict]:
    return [
        judge(evidence)
        for evidence in gather(
            kafka=stores.kafka,
            sql=stores.clickhouse,
            deployment=stores.deployment,
            families=stores.families,
            letters_topic=stores.letters_topic,
            group=stores.group,
            scope=scope,
            now_ms=now_ms(),
            on_progress=progress,
        )
    ]


def _missing(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [v for v in verdicts if v.missing and v.evidence.current]


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
        click.echo(f"there are {eraser.find(now_ms())}")
        if not apply:
            click.echo("nothing was done; --apply erases it")
            return
        left = eraser.erase()
    click.echo(f"erased; left of earlier records: {left}")
    sys.exit(0 if left.nothing_older else 1)


@click.command()
@click.option("--topic", required=True, help="Topic, with the deployment's prefix.")
@click.option("--partition", type=click.IntRange(0), help="Only this partition.")
@click.option("--from-offset", type=click.IntRange(0), help="From this offset on.")
@click.option("--to-offset", type=click.IntRange(0), help="Up to before this offset.")
@click.option("--since", type=click.DateTime(), help="Records of this time (UTC) or later.")
@click.option("--until", type=click.DateTime(), help="Records before this time (UTC).")
@click.option("--apply", is_flag=True, help="Do it; without this, only say what would be done.")
@click.option("--abandon", is_flag=True, help="Remove the new rows of replays that do not count.")
@click.option("--per-second", default=2.0, show_default=True, help="Inserts a second at the most.")
@click.pass_obj
def replay(
    environ: Mapping[str, str],
    /,
    topic: str,
    partition: int | None,
    from_offset: int | None,
    to_offset: int | None,
    since: Any,
    until: Any,
    apply: bool,
    abandon: bool,
    per_second: float,
) -> None:
    """Read records again and replace their rows by new ones, a new generation.

    The old rows go once the new are whole. May be interrupted: the next call goes on.
    """
    if partition is None and (from_offset, to_offset) != (None, None):
        raise click.UsageError("offsets are those of one partition: name the partition")
    settings = load_settings(WriterSettings, environ)
    with open_stores(settings.tools) as stores:
        family = stores.families.get(topic)
        if family is None:
            raise click.UsageError(f"{topic} is no topic of events")

        def new_ones() -> list[tuple[Partition, Replay]]:
            chosen = [p for p in stores.kafka.partitions([topic]) if partition in (None, p.number)]
            bounds = replayable(stores.kafka, stores.group, chosen, from_offset, to_offset)
            ranges = ranges_in_time(stores.kafka, bounds, in_ms(since), in_ms(until))
            if not ranges:
                click.echo("there is nothing of that kind to replay", err=True)
                sys.exit(2)
            number = next_generation(stores.clickhouse, stores.deployment, [family.table])
            return [
                (p, Replay(number, p.topic_id, p.number, start, end, "building"))
                for p, (start, end) in sorted(ranges.items())
            ]

        if not apply and not abandon:
            if not _begun(stores, topic):
                for place, new in new_ones():
                    click.echo(f"would replay {place} {told_range(new)}")
            click.echo("nothing was done; --apply does it")
            return
        with writing(stores, settings, "etl replay") as lease:
            replayer = rework(Replayer, stores, settings, family, lease, per_second)
            begun = _begun(stores, topic)
            if abandon:
                for place, known in begun:
                    replayer.abandon(known)
                    click.echo(f"abandoned: {place} {told_range(known)}")
                return
            if not begun:
                begun = new_ones()
                for place, new in begun:
                    click.echo(f"replaying {place} {told_range(new)}")
                    replayer.declare(new, "building")
            for place, each in begun:
                done = replayer.replay(place, each)
                click.echo(
                    f"replaced {place} {told_range(each)}: {done.rows:,} rows,"
                    f" {len(done.letters):,} dead letters, {done.erased:,} erased"
                )


def _begun(stores: Stores, topic: str) -> list[tuple[Partition, Replay]]:
    partitions = stores.kafka.partitions([topic])
    begun = list(under_way(stores.clickhouse, stores.deployment, partitions))
    for place, known in begun:
        click.echo(f"under way: {place} {told_range(known)}, {known.state}")
    return begun
