"""Ctrl-C, a plain termination and a closed terminal unwind the stack of calls, once."""

from __future__ import annotations

import os
import signal
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDOUT, _STDERR = 1, 2


class Interruption:
    """Turns the first signal that ends a program into KeyboardInterrupt, and ignores the next.

    Stopping what was started takes a few seconds. Whoever presses Ctrl-C again meanwhile, or
    ends a whole process group whose leader passes signals on, would leave it half done.
    """

    def __init__(self) -> None:
        self._number: int | None = None

    def listen(self) -> None:
        """Take over the signals; a SIGHUP that is ignored, as under nohup, stays so."""
        for number in _ENDING:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)

    @property
    def exit_status(self) -> int | None:
        """128 + the number of the signal that came, as shells have it; None if none came."""
        return None if self._number is None else 128 + self._number

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._number is not None:
            return
        self._number = number
        if number == signal.SIGHUP:
            # The terminal is gone: a word to it would be an error on the way of stopping.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _STDOUT)
            os.dup2(nowhere, _STDERR)
        raise KeyboardInterrupt
