"""Sorting more than memory holds: sorted runs on disk, merged as they are read.

Runs lie in anonymous temporary files, which vanish with the process however it ends. Never more
than `FAN_IN` runs of one level exist: they are then merged into one of the next. So memory does
not depend on how much is sorted, open files on its logarithm only, and disk space on all of it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from _typeshed import SupportsRichComparison

_T = TypeVar("_T", bound="SupportsRichComparison")

FAN_IN = 32
_CHUNK = 32
"""Items of a run that are in memory while it is read."""


class Spool(Generic[_T]):
    """Takes sorted runs, gives back all their items in order. Close it, or use `with`.

    Args:
        folder: for the temporary files; the system's if None.

    Items must be comparable, and no two of them equal.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._levels: list[list[IO[bytes]]] = [[]]
        self._only: list[_T] = []  # a first run needs no file while it is alone

    def __enter__(self) -> Spool[_T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, run: list[_T]) -> None:
        """Take a run, which is sorted."""
        if not any(self._levels) and not self._only:
            self._only = run
            return
        if self._only:
            only, self._only = self._only, []
            self._levels[0].append(self._write(only))
        self._levels[0].append(self._write(run))
        for level, runs in enumerate(self._levels):
            if len(runs) < FAN_IN:
                break
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(self._write(merge(*map(self._read, runs))))
            for file in runs:
                file.close()
            runs.clear()

    def merged(self) -> Iterator[_T]:
        """All items in order; once."""
        if self._only:
            return iter(self._only)
        return merge(*map(self._read, chain.from_iterable(self._levels)))

    def close(self) -> None:
        """Give back the disk space."""
        for file in chain.from_iterable(self._levels):
            file.close()

    def _write(self, items: Iterable[_T]) -> IO[bytes]:
        file = TemporaryFile(dir=self._folder)  # noqa: SIM115 - lives as long as the spool
        rest = iter(items)
        while chunk := list(islice(rest, _CHUNK)):
            pickle.dump(chunk, file, pickle.HIGHEST_PROTOCOL)
        return file

    def _read(self, file: IO[bytes]) -> Iterator[_T]:
        file.seek(0)
        while True:
            try:
                chunk: list[_T] = pickle.load(file)  # noqa: S301 - nobody else can reach the file
            except EOFError:
                return
            yield from chunk
