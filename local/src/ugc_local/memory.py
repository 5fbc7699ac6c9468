"""How much memory a set of processes holds at its peak."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Self

import psutil

from ugc_local.background import BackgroundWork
from ugc_local.process import ProcessIdentity

_INTERVAL_S = 0.2
_TICKS_PER_SURVEY = 5
_MIB = 1 << 20


class MemorySampler(BackgroundWork):
    """Samples the resident memory of named processes and their descendants, five times a second.

    A descendant counts for its nearest named ancestor, so the caller may be one of the named.
    Pages that processes share count for each of them: the sum is an upper bound.
    """

    def __init__(self, processes: Mapping[str, ProcessIdentity]) -> None:
        self._roots = dict(processes)
        self._members: list[tuple[str, psutil.Process]] = []
        self._peaks = dict.fromkeys(processes, 0)
        self._peak_total = 0
        super().__init__("memory-sampler")

    def __enter__(self) -> Self:
        self._survey()
        self._sample()
        return super().__enter__()

    def peaks(self) -> dict[str, float]:
        """The highest sample of each process with its descendants, MiB."""
        return {name: peak / _MIB for name, peak in self._peaks.items()}

    @property
    def peak_total_mib(self) -> float:
        """The highest sum of all of them at one moment, MiB."""
        return self._peak_total / _MIB

    def _run(self) -> None:
        tick = 0
        while not self._stopped.wait(_INTERVAL_S):
            tick += 1
            if tick % _TICKS_PER_SURVEY == 0:
                self._survey()
            self._sample()

    def _survey(self) -> None:
        """Find the descendants: one pass over the machine's processes, so not at every sample."""
        everything = {process.pid: process for process in psutil.process_iter(["ppid"])}
        names = {
            identity.pid: name for name, identity in self._roots.items() if identity.is_alive()
        }
        self._members = []
        for pid, process in everything.items():
            ancestor: int | None = pid
            seen: set[int] = set()
            while ancestor in everything and ancestor not in names and ancestor not in seen:
                seen.add(ancestor)
                ancestor = everything[ancestor].info["ppid"]
            if ancestor in names:
                self._members.append((names[ancestor], process))

    def _sample(self) -> None:
        sums = dict.fromkeys(self._peaks, 0)
        for name, process in self._members:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                sums[name] += process.memory_info().rss
        for name, value in sums.items():
            self._peaks[name] = max(self._peaks[name], value)
        self._peak_total = max(self._peak_total, sum(sums.values()))
