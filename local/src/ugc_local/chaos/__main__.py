"""`python -m ugc_local.chaos --faults N [--seed S]`: exit 0 if nothing was lost or doubled."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
from pathlib import Path

from rich.console import Console

from ugc_local.chaos.kinds import KINDS
from ugc_local.chaos.report import show, timeline_line, write_json
from ugc_local.chaos.run import Options, run
from ugc_local.demo.analyst import QueryError
from ugc_local.kafka.client import KafkaClientError
from ugc_local.kafka.distribution import DistributionError
from ugc_local.process import ProcessExitedError
from ugc_local.stores import NotReadyError

_FAILURES = (
    DistributionError,
    KafkaClientError,
    NotReadyError,
    OSError,
    ProcessExitedError,
    QueryError,
)


def main() -> int:
    """Run, report, and keep data and logs where it failed."""
    parser = argparse.ArgumentParser(prog="ugc_local.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=30, help="with an effect (%(default)s)")
    parser.add_argument("--seed", type=int, help="of another run, to draw the same faults")
    parser.add_argument("--rate", type=int, default=400, help="records a second (%(default)s)")
    parser.add_argument("--at-once", type=int, default=3, help="faults at a time (%(default)s)")
    parser.add_argument("--kind", action="append", help="only faults of this kind; repeatable")
    parser.add_argument("--directory", type=Path, default=Path("build/chaos"))
    parser.add_argument("--report", type=Path, default=Path("build/reports/chaos.json"))
    arguments = parser.parse_args()
    kinds = [kind for kind in KINDS if arguments.kind is None or kind.name in arguments.kind]
    if not kinds:
        parser.error(f"kinds are: {', '.join(kind.name for kind in KINDS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True)
    shutil.rmtree(arguments.directory, ignore_errors=True)
    options = Options(
        directory=arguments.directory,
        faults=arguments.faults,
        seed=secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed,
        records_per_s=arguments.rate,
        kinds=kinds,
        at_once=arguments.at_once,
    )
    try:
        outcome = run(
            options,
            os.environ,
            on_step=lambda step: console.print(f"  {step}"),
            on_fault=lambda fault: console.print(timeline_line(fault), markup=False),
        )
    except _FAILURES as error:
        console.print(f"could not run: {error}", markup=False, style="red")
        return 2
    except KeyboardInterrupt:
        console.print(f"interrupted; the same faults again: SEED={options.seed}")
        return 130
    write_json(outcome, arguments.report)
    show(outcome, kinds, options.directory / "logs", console)
    if outcome.passed:
        shutil.rmtree(arguments.directory, ignore_errors=True)
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    sys.exit(main())
