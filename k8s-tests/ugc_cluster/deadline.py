"""Polling with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

from ugc_cluster.failure import NoClusterError


def await_true(what: str, condition: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until `condition` held, looked at four times a second. Raises NoClusterError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            raise NoClusterError(f"{what} within {timeout_s:.0f} s")
        time.sleep(0.25)
    return time.monotonic() - began
