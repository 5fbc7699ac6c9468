"""How many requests may wait for a log that has stopped to acknowledge.

A request that waits holds a place. In an outage all places would be held until a deadline, and
the probes behind them would have the process killed, which helps nobody. So while
acknowledgements flow everybody may wait; when they stop, a fixed number may, and the rest is
told to come back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Patience:
    """Counts who waits. Safe for many threads at once.

    Args:
        limit: how many may wait while nothing is acknowledged.
        stall_s: acknowledgements have stopped when the last one is this long ago.
        monotonic: the clock, seconds.
    """

    def __init__(self, limit: int, stall_s: float, monotonic: Callable[[], float]) -> None:
        self._limit = limit
        self.stall_s = stall_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting = 0
        self._progress_at = 0.0

    def enter(self) -> bool:
        """Begin to wait; False where one should not, and then nothing is counted."""
        with self._lock:
            if not self._waiting:
                # Nobody waited, so nothing could be acknowledged.
                self._progress_at = self._monotonic()
            elif self._waiting >= self._limit and self._stalled():
                return False
            self._waiting += 1
            return True

    def leave_if_stalled(self) -> bool:
        """Ask while waiting: True where too many wait in vain, and then one is counted out."""
        with self._lock:
            if self._waiting > self._limit and self._stalled():
                self._waiting -= 1
                return True
            return False

    def leave(self, *, acknowledged: bool) -> None:
        """End a wait that `enter` allowed and `leave_if_stalled` did not end."""
        with self._lock:
            self._waiting -= 1
            if acknowledged:
                self._progress_at = self._monotonic()

    def _stalled(self) -> bool:
        return self._monotonic() - self._progress_at >= self.stall_s
