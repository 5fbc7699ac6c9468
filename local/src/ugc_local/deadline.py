"""Waiting for something outside this process, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock after which waiting ends."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Seconds until the deadline; 0 once it has passed."""
        return max(0.0, self.at_s - time.monotonic())

    def poll(self, condition: Callable[[], bool], *, interval_s: float = 0.02) -> bool:
        """Ask `condition` until it holds (True) or the deadline passes (False).

        It is asked at least once, and once more after the last pause.
        """
        while not condition():
            if not self.left_s():
                return False
            time.sleep(min(interval_s, self.left_s()))
        return True
