"""What the commands that make faults have in common: arguments, the end, the exit code."""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console

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


class _Named(Protocol):
    @property
    def name(self) -> str: ...


K = TypeVar("K", bound=_Named)


def new_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The options of all; data and report go under `build`, by `name`, as the module's is."""
    module = f"ugc_local.{name.replace('-', '_')}"
    parser = argparse.ArgumentParser(prog=module, description=description)
    parser.add_argument("--faults", type=int, default=30, help="with an effect (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(1_000_000),
        help="of another run, to draw the same faults",
    )  # fmt: skip
    parser.add_argument("--kind", action="append", help="only faults of this kind; repeatable")
    parser.add_argument("--directory", type=Path, default=Path("build") / name)
    parser.add_argument("--report", type=Path, default=Path("build/reports") / f"{name}.json")
    return parser


def chosen(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, kinds: Sequence[K]
) -> list[K]:
    """The kinds that `--kind` names, or all; ends the process where there is none."""
    found = [kind for kind in kinds if arguments.kind is None or kind.name in arguments.kind]
    if not found:
        parser.error(f"kinds are: {', '.join(kind.name for kind in kinds)}")
    return found


def exit_code_of(
    passes: Callable[[], bool], arguments: argparse.Namespace, console: Console
) -> int:
    """Run, and keep data and logs where it failed.

    0: `passes` says so. 1: it does not. 2: it could not run. 130: interrupted, also by SIGTERM.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(arguments.directory, ignore_errors=True)
    try:
        passed = passes()
    except _FAILURES as error:
        console.print(f"could not run: {error}", markup=False, style="red")
        return 2
    except KeyboardInterrupt:
        console.print(f"interrupted; the same faults again: SEED={arguments.seed}")
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    if passed:
        shutil.rmtree(arguments.directory, ignore_errors=True)
    return 0 if passed else 1
