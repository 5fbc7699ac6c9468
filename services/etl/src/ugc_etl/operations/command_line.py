"""The operators' commands of `etl`. Each says in a sentence what failed.

Exit codes: 0 all is well, 1 something is not, 2 it could not be found out or done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import click
from ugc_events import FAMILIES, Family
from ugc_events.registry import DEAD_LETTERS_TOPIC
from ugc_settings import SettingsError, load

from ugc_etl.adapters.clickhouse import ClickHouse
from ugc_etl.adapters.kafka_tools import KafkaTools
from ugc_etl.app import deployment_of, open_clickhouse
from ugc_etl.operations.audit import Scope, judge
from ugc_etl.operations.audit_report import as_json, table
from ugc_etl.operations.coverage import TooScatteredError
from ugc_etl.operations.evidence import gather
from ugc_etl.operations.settings import ToolSettings
from ugc_etl.ports import OutcomeUnknownError, RefusedError
from ugc_etl.schema import Deployment, ServerRefused

T = TypeVar("T")

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


def load_settings(kind: type[T], environ: Mapping[str, str]) -> T:
    """The settings, or the end with a line for each that is wrong."""
    try:
        return load(kind, environ)
    except SettingsError as error:
        click.echo(error, err=True)
        sys.exit(2)
