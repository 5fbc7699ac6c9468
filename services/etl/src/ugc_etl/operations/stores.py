"""The stores of a command, from its settings, and how it tells what goes wrong.

Exit codes: 0 all is well, 1 something is not, 2 it could not be found out or done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from os import getpid
from socket import gethostname
from typing import TypeVar

import click
from ugc_events import FAMILIES, Family
from ugc_events.registry import DEAD_LETTER_GRACE_MS, DEAD_LETTERS_TOPIC
from ugc_settings import SettingsError, load

from ugc_etl.adapters.clickhouse import ClickHouse
from ugc_etl.adapters.clickhouse_shards import ClickHouseShards
from ugc_etl.adapters.kafka_tools import KafkaLeaseLog, KafkaTools
from ugc_etl.app import deployment_of, open_clickhouse, open_shards
from ugc_etl.operations.coverage import TooScatteredError
from ugc_etl.operations.lease import Lease, LeaseTerms
from ugc_etl.operations.reread import Rereader, Rework
from ugc_etl.operations.rows_once import Clock, ErasedList, Pace, RowsOnce
from ugc_etl.operations.settings import ToolSettings, WriterSettings
from ugc_etl.ports import OutcomeUnknownError, RefusedError
from ugc_etl.schema import Deployment, ServerRefused

T = TypeVar("T")
R = TypeVar("R", bound=Rework)

CLOCK = Clock(time.monotonic, time.sleep)
_ANSWER_S = 600.0
"""ClickHouse tells its progress while it works; silence for so long is a failure."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What a command works on.

    Attributes:
        clickhouse: to be asked.
        shards: where rows go.
        families: by topic, with the deployment's prefix.
        letters_topic: of the dead letters.
    """

    kafka: KafkaTools
    clickhouse: ClickHouse
    shards: ClickHouseShards
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
    shards = open_shards(settings.clickhouse, _ANSWER_S)
    try:
        yield Stores(
            kafka,
            clickhouse,
            shards,
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
        shards.close()
        kafka.close()


@contextmanager
def writing(stores: Stores, settings: WriterSettings, command: str) -> Iterator[Lease]:
    """The lease of a command that inserts rows: no other one does so meanwhile."""
    began = datetime.now(UTC)
    lease = Lease(
        KafkaLeaseLog(
            settings.tools.kafka.librdkafka(),
            group=f"{stores.group}.commands",
            topic=stores.letters_topic,
        ),
        stores.clickhouse,
        CLOCK,
        LeaseTerms(settings.insert_deadline_s, 2 * DEAD_LETTER_GRACE_MS / 1000),
        holder=f"{command} on {gethostname()}, process {getpid()}, begun {began:%H:%M:%S} UTC,",
        cancel=rows_once(stores, settings).cancel,
        on_progress=progress,
    )
    lease.take()
    yield lease
    # Not where it failed: what is in flight may land until the time that was declared.
    lease.give_back()


def progress(sentence: str) -> None:
    """Tell what goes on, beside the answer."""
    click.echo(f"… {sentence}", err=True)


def rework(
    kind: type[R],
    stores: Stores,
    settings: WriterSettings,
    family: Family,
    lease: Lease,
    per_second: float,
) -> R:
    """A repair or a replay of a family."""
    return kind(
        stores.kafka,
        stores.clickhouse,
        stores.deployment,
        family,
        stores.letters_topic,
        Rereader(
            stores.kafka,
            stores.group,
            stores.clickhouse,
            stores.deployment,
            family,
            ErasedList(stores.clickhouse, stores.deployment, CLOCK),
            settings.pseudonym_key.reveal().encode(),
            now_ms(),
            lease,
        ),
        rows_once(stores, settings),
        lease,
        Pace(per_second, CLOCK),
        progress,
    )


def now_ms() -> int:
    """The time of day, ms since the epoch."""
    return int(time.time() * 1000)


def in_ms(time_: datetime | None) -> int | None:
    """A time of an option, which is UTC, in ms since the epoch."""
    return None if time_ is None else round(time_.replace(tzinfo=UTC).timestamp() * 1000)


def rows_once(stores: Stores, settings: WriterSettings) -> RowsOnce:
    """What inserts rows for the commands."""
    return RowsOnce(
        stores.clickhouse,
        stores.shards.servers,
        stores.deployment,
        CLOCK,
        pseudonym_key=settings.pseudonym_key.reveal().encode(),
    )


def load_settings(kind: type[T], environ: Mapping[str, str]) -> T:
    """The settings, or the end with a line for each that is wrong."""
    try:
        return load(kind, environ)
    except SettingsError as error:
        click.echo(error, err=True)
        sys.exit(2)
