"""What a command says and how it ends: results on stdout, progress and errors on stderr.

Colours only on a terminal, and not where NO_COLOR is set; on a pipe plain lines of any length.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from ugc_local.interruption import Interruption

_BROKEN_PIPE = 128 + 13
"""As shells report a program that SIGPIPE ended."""


class Terminal:
    """Standard output and standard error of one command."""

    def __init__(self) -> None:
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    @property
    def interactive(self) -> bool:
        """Whether a person reads the results as they come."""
        return self.out.is_terminal

    def step(self, text: str) -> None:
        """Say what is being done."""
        self.err.print(f"  {text}", markup=False)

    def attempt(
        self,
        action: Callable[[], int | None],
        *,
        failures: tuple[type[Exception], ...],
        interrupted: str = "",
    ) -> None:
        """Run it and end the process with the status that it gives.

        One of `failures` gets its sentence and status 1, no traceback. A signal gets the words
        `interrupted` and 128 + its number; a reader of our output that has gone gets nothing.
        """
        interruption = Interruption()
        interruption.listen()
        try:
            status = action()
            sys.stdout.flush()
        except BaseException as error:
            # Asked first: an exception that a signal's handler raises may strike inside a lock's
            # own code, and come out as another.
            if (ended := interruption.exit_status) is not None:
                if interrupted:
                    self.err.print(interrupted)
                sys.exit(ended)
            if isinstance(error, BrokenPipeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(_BROKEN_PIPE)
            if not isinstance(error, failures):
                raise
            self.err.print(f"[bold red]failed:[/] {escape(str(error))}")
            sys.exit(1)
        sys.exit(status or 0)


def columns(rows: list[tuple[str, ...]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Align texts in columns two blanks apart; those whose index is in `right` to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
