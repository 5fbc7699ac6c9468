"""The command line: `etl run`, `etl migrate`, and the operators' commands."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

import click

from ugc_etl.allocator import collect_garbage_seldom, give_back_large_blocks
from ugc_etl.app import build_pipeline, deployment_of, open_clickhouse
from ugc_etl.logs import log_to_stdout
from ugc_etl.operations.command_line import audit, erase, replay
from ugc_etl.operations.dead_letter_commands import dead_letters
from ugc_etl.operations.stores import load_settings
from ugc_etl.ports import OutcomeUnknownError, RefusedError
from ugc_etl.schema import SchemaError, ServerRefused, migrate
from ugc_etl.settings import MigrateSettings, Settings

log = logging.getLogger("ugc_etl")

_MIGRATION_TIMEOUT_S = 300.0


@click.group()
@click.pass_context
def main(context: click.Context) -> None:
    """Kafka to ClickHouse. All settings come from the environment."""
    context.obj = os.environ


for command in (audit, dead_letters, erase, replay):
    main.add_command(command)


@main.command()
def run() -> None:
    """Move records until SIGTERM or SIGINT."""
    settings = load_settings(Settings, os.environ)
    log_to_stdout(settings.log_level)
    give_back_large_blocks()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with build_pipeline(settings) as world:
            log.info("metrics and probes on port %d", world.port)
            collect_garbage_seldom()
            world.run(stop)
    except (RefusedError, OSError) as error:
        log.critical("stopped: %s", error)
        sys.exit(1)
    log.info("stopped")


@main.command("migrate")
def migrate_schema() -> None:
    """Bring the schema to this version; safe to repeat, and to run twice at once."""
    settings = load_settings(MigrateSettings, os.environ)
    log_to_stdout(settings.log_level)
    clickhouse = open_clickhouse(settings.clickhouse, _MIGRATION_TIMEOUT_S)
    try:
        done = migrate(
            clickhouse,
            deployment_of(settings.clickhouse),
            on_step=lambda step: log.info("%s", step),
        )
    except (SchemaError, ServerRefused, OutcomeUnknownError) as error:
        log.critical("migration failed: %s", error)
        sys.exit(1)
    finally:
        clickhouse.close()
    if not done:
        log.info("the schema is up to date")


if __name__ == "__main__":
    main()
