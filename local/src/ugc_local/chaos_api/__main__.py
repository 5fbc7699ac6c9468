"""`python -m ugc_local.chaos_api --faults N [--seed S]`: exit 0 if nothing is missing."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
from pathlib import Path

from rich.console import Console

from ugc_local.chaos.report import timeline_line
from ugc_local.chaos_api.faults import KINDS
from ugc_local.chaos_api.report import show, write_json
from ugc_local.chaos_api.run import Options, run
from ugc_local.kafka.client import KafkaClientError
from ugc_local.kafka.distribution import DistributionError
from ugc_local.process import ProcessExitedError
from ugc_local.stores import NotReadyError


def main() -> int:
    """Run, report, and keep data and logs where it failed."""
    parser = argparse.ArgumentParser(prog="ugc_local.chaos_api", description=__doc__)
    parser.add_argument("--faults", type=int, default=30, help="with an effect (%(default)s)")
    parser.add_argument("--seed", type=int, help="of another run, to draw the same faults")
    parser.add_argument("--apps", type=int, default=24, help="at a time (%(default)s)")
    parser.add_argument("--kind", action="append", help="only faults of this kind; repeatable")
    parser.add_argument("--directory", type=Path, default=Path("build/chaos-api"))
    parser.add_argument("--report", type=Path, default=Path("build/reports/chaos-api.json"))
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
        apps=arguments.apps,
        kinds=kinds,
    )
    try:
        outcome = run(
            options,
            os.environ,
            on_step=lambda step: console.print(f"  {step}"),
            on_fault=lambda fault: console.print(timeline_line(fault), markup=False),
        )
    except (
        DistributionError,
        KafkaClientError,
        NotReadyError,
        OSError,
        ProcessExitedError,
    ) as error:
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
