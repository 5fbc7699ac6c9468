"""How this process takes memory: the C library's malloc, Python's collector."""

from __future__ import annotations

import ctypes
import gc

_M_ARENA_MAX = -8  # glibc's malloc.h
_HEAPS = 2
_YOUNG_OBJECTS = 10_000


def share_few_heaps() -> bool:
    """Call before there are threads. Whether malloc can be told: musl and macOS have no such knob.

    By itself glibc gives each thread a heap of its own, up to eight times the cores. Each grows to
    the largest request that its thread ever had, and keeps what lies below the last block in use:
    a worker with 32 threads keeps growing for as long as requests meet new threads.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_ARENA_MAX, _HEAPS))


def collect_garbage_seldom() -> None:
    """Call when all that stays is there: the collector does not go through that any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
