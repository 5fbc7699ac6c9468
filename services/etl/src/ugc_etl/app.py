"""Builds the world from the settings, and runs it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Collection, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass

from ugc_events import FAMILIES
from ugc_events.registry import DEAD_LETTER_GRACE_MS, DEAD_LETTERS_TOPIC

from ugc_etl.adapters.clickhouse import ClickHouse, ClickHouseAddress
from ugc_etl.adapters.clickhouse_shards import ClickHouseShards
from ugc_etl.adapters.clickhouse_tables import ClickHouseTables
from ugc_etl.adapters.kafka import GroupOffsetLog, KafkaDeadLetters, KafkaSource
from ugc_etl.adapters.kafka_tools import KafkaTools
from ugc_etl.backoff import Backoff
from ugc_etl.batch import BatchPolicy
from ugc_etl.contract_version import contract_version
from ugc_etl.dead_letter_limit import DeadLetterLimit
from ugc_etl.delivery import Deliverer, Route
from ugc_etl.letters import TopicLetterBox
from ugc_etl.metrics import Metrics
from ugc_etl.outage import Outage
from ugc_etl.performer import Performer
from ugc_etl.pipeline import Pipeline, PipelineOptions, Runtime
from ugc_etl.probes import Health, serve
from ugc_etl.protocol import Rules, Timing
from ugc_etl.protocol.facts import Fact
from ugc_etl.readiness import missing
from ugc_etl.schema import Deployment
from ugc_etl.settings import ClickHouseSettings, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class World:
    """The pipeline and what it stands on.

    Attributes:
        port: of the probes and metrics.
    """

    pipeline: Pipeline
    source: KafkaSource
    shards: ClickHouseShards
    deployment: Deployment
    health: Health
    port: int

    def run(self, stop: threading.Event) -> None:
        """Wait until all is there, then move records until `stop`. Raises RefusedError."""
        backoff = Backoff(first_s=0.5, most_s=5.0)
        outage = Outage("not ready", log)
        failures = 0
        while not stop.is_set():
            self.health.turned()
            what = missing(self.source, self.shards.servers, self.deployment)
            self.health.waiting_for(what)
            if not what:
                outage.worked(time.monotonic())
                log.info("ready")
                self.pipeline.run(stop.is_set)
                return
            failures += 1
            outage.failed(what, time.monotonic())
            stop.wait(backoff.delay_s(failures, random.random()))  # noqa: S311 - jitter


@contextmanager
def build_pipeline(settings: Settings) -> Iterator[World]:
    """The whole ETL over real stores; everything is released at the end.

    Raises OSError where METRICS_HOST:METRICS_PORT cannot be had.
    """
    prefix = settings.kafka.kafka_topic_prefix
    connection = settings.kafka.librdkafka()
    deployment = deployment_of(settings.clickhouse)
    metrics = Metrics()
    # A poll, a commit and a rebalance may each take their time-out in one turn.
    health = Health(time.monotonic, stuck_after_s=settings.shutdown_grace_s + 60)
    probes = serve(settings.metrics_host, settings.metrics_port, health, metrics)
    shards = open_shards(settings.clickhouse, settings.insert_timeout_s)
    source = KafkaSource(
        connection,
        group_id=settings.kafka_group_id,
        topics=[family.topic_of(prefix) for family in FAMILIES],
        monotonic_s=time.monotonic,
        session_timeout_ms=settings.kafka_session_timeout_ms,
    )
    dead_letters = KafkaDeadLetters(connection, topic=prefix + DEAD_LETTERS_TOPIC)
    tables = ClickHouseTables(shards, deployment)
    tools = KafkaTools(connection)
    letter_box = TopicLetterBox(tools, prefix + DEAD_LETTERS_TOPIC, time.time)
    executors = [
        futures.ThreadPoolExecutor(settings.insert_threads, f"insert-{shard}")
        for shard in range(len(shards.servers))
    ]
    deliverer = Deliverer(
        routes={
            family.topic_of(prefix): Route(family, deployment.local(family.table))
            for family in FAMILIES
        },
        writer_of=shards.server,
        tables=tables,
        dead_letters=dead_letters,
        letter_box=letter_box,
        limit=DeadLetterLimit(settings.dead_letter_limit, settings.dead_letter_share),
        pseudonym_key=settings.pseudonym_key.reveal().encode(),
        wall_s=time.time,
        monotonic_s=time.monotonic,
    )
    pipeline = Pipeline(
        source=source,
        offset_log=GroupOffsetLog(source),
        sink_clock=shards,
        deliverer=deliverer,
        performer=Performer(deliverer=deliverer, tables=tables, letter_box=letter_box),
        rules=Rules(
            timing=Timing(
                deadline_s=int(settings.insert_deadline_s),
                hunt_deadline_s=int(settings.hunt_deadline_s),
                fence_s=2 * DEAD_LETTER_GRACE_MS / 1000,
            ),
            decoder=contract_version(FAMILIES),
            shards=len(shards.servers),
        ),
        policy=BatchPolicy(
            max_rows=settings.batch_max_rows,
            max_bytes=settings.batch_max_bytes,
            max_age_ms=settings.batch_max_age_ms,
            max_batches_per_s=settings.inserts_per_s_target,
        ),
        options=PipelineOptions(
            grace_s=settings.shutdown_grace_s,
            max_buffered_bytes=settings.buffer_max_bytes,
        ),
        runtime=Runtime(
            monotonic_s=time.monotonic,
            wall_s=time.time,
            random=random.random,
            wait=_wait,
            executor_of=executors.__getitem__,
        ),
        metrics=metrics,
        health=health,
    )
    try:
        yield World(pipeline, source, shards, deployment, health, int(probes.server_address[1]))
    finally:
        source.close()
        # Cut what is still in flight: the threads end with it.
        shards.close()
        dead_letters.close()
        tools.close()
        for executor in executors:
            executor.shutdown(cancel_futures=True)
        probes.shutdown()
        probes.server_close()


def open_clickhouse(settings: ClickHouseSettings, receive_timeout_s: float) -> ClickHouse:
    """The server of the settings; it connects when it is first asked."""
    address = settings.clickhouse_host, settings.clickhouse_port
    return _open_server(settings, address, receive_timeout_s)


def open_shards(settings: ClickHouseSettings, receive_timeout_s: float) -> ClickHouseShards:
    """The servers that take rows; they connect when they are first asked."""
    return ClickHouseShards(
        [_open_server(settings, address, receive_timeout_s) for address in settings.shard_addresses]
    )


def _open_server(
    settings: ClickHouseSettings, address: tuple[str, int], receive_timeout_s: float
) -> ClickHouse:
    compression = settings.clickhouse_compression
    host, port = address
    return ClickHouse(
        ClickHouseAddress(
            host=host,
            port=port,
            user=settings.clickhouse_user,
            password=settings.clickhouse_password.reveal(),
            secure=settings.clickhouse_secure,
            ca_file=settings.clickhouse_ca_file,
            compression=False if compression == "none" else compression,
            receive_timeout_s=receive_timeout_s,
        ),
        time.time,
    )


def deployment_of(settings: ClickHouseSettings) -> Deployment:
    """The names of the schema."""
    return Deployment(
        database=settings.clickhouse_database,
        analytics_database=settings.clickhouse_analytics_database,
        cluster=settings.clickhouse_cluster or None,
    )


def _wait(attempts: Collection[futures.Future[Fact]], timeout_s: float) -> None:
    if attempts:
        futures.wait(attempts, timeout_s, futures.FIRST_COMPLETED)
    else:
        threading.Event().wait(timeout_s)
