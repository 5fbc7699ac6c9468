"""Keeping logs short while their writers hold them open.

Copy and cut, since a process whose standard output is a file cannot be told to open another: it
appends, so it goes on at the new end. What is written between the copy and the cut is lost.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def earlier(log: Path) -> Path:
    """Where the part of `log` is that was cut off last."""
    return log.with_name(log.name + ".1")


def bound(log: Path, max_bytes: int) -> None:
    """Move the contents of `log` to earlier(log) when it is longer than `max_bytes`.

    On a full disk they are dropped. A log that is not there is short enough.
    """
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size <= max_bytes:
            return
        fresh = log.with_name(log.name + ".new")
        try:
            with log.open("rb") as source, fresh.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            fresh.replace(earlier(log))
        except OSError:
            fresh.unlink(missing_ok=True)
        os.truncate(log, 0)
