"""`python -m ugc_local.chaos_api --faults N [--seed S]`: exit 0 if nothing is missing."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from ugc_local.chaos.command import chosen, exit_code_of, new_parser
from ugc_local.chaos.report import timeline_line
from ugc_local.chaos_api.faults import KINDS
from ugc_local.chaos_api.report import show, write_json
from ugc_local.chaos_api.run import Options, run


def main() -> int:
    """Run and report."""
    parser = new_parser("chaos-api", __doc__)
    parser.add_argument("--apps", type=int, default=24, help="at a time (%(default)s)")
    arguments = parser.parse_args()
    kinds = chosen(parser, arguments, KINDS)
    console = Console(highlight=False, soft_wrap=True)
    options = Options(
        directory=arguments.directory,
        faults=arguments.faults,
        seed=arguments.seed,
        apps=arguments.apps,
        kinds=kinds,
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
