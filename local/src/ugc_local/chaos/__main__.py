"""`python -m ugc_local.chaos --faults N [--seed S]`: exit 0 if nothing was lost or doubled."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from ugc_local.chaos.command import chosen, exit_code_of, new_parser
from ugc_local.chaos.kinds import KINDS
from ugc_local.chaos.report import show, timeline_line, write_json
from ugc_local.chaos.run import Options, run


def main() -> int:
    """Run and report."""
    parser = new_parser("chaos", __doc__)
    parser.add_argument("--rate", type=int, default=400, help="records a second (%(default)s)")
    parser.add_argument("--at-once", type=int, default=3, help="faults at a time (%(default)s)")
    arguments = parser.parse_args()
    kinds = chosen(parser, arguments, KINDS)
    console = Console(highlight=False, soft_wrap=True)
    options = Options(
        directory=arguments.directory,
        faults=arguments.faults,
        seed=arguments.seed,
        records_per_s=arguments.rate,
        kinds=kinds,
        at_once=arguments.at_once,
    )

    def passes() -> bool:
        outcome = run(
            options,
            os.environ,
            on_step=lambda step: console.print(f"  {step}"),
            on_fault=lambda fault: console.print(timeline_line(fault), markup=False),
        )
        write_json(outcome, arguments.report)
        show(outcome, kinds, options.directory / "logs", console)
        return outcome.passed

    return exit_code_of(passes, arguments, console)


if __name__ == "__main__":
    sys.exit(main())
