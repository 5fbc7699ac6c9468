"""How this process takes memory and gives it back: Python's collector, the C library's malloc."""

from __future__ import annotations

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGE_BYTES = 768 * 1024
_SPARE_BYTES = 16 * 1024 * 1024


def collect_garbage_seldom() -> None:
    """Call when all that stays is there.

    Every poll makes thousands of objects that are in no cycle and soon gone. At its defaults the
    collector goes through them all, and through every module's again and again: a quarter of what
    reading costs.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def give_back_large_blocks() -> bool:
    """Let what is large have pages of its own, which go when it goes; whether malloc can be told.

    Left alone, glibc takes large blocks from its heaps as soon as one of them was freed, and
    records of a megabyte leave holes that stay: the ADR on decoding has figures. A setting turns
    its own adjustment off altogether, so what a heap may keep is said too. Others than glibc
    (musl, macOS) have no such knob.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    large = mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    return bool(large and mallopt(_M_TRIM_THRESHOLD, _SPARE_BYTES))
