"""The logs of a stack's processes: their last lines, and what comes next."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ugc_local.log_bounds import earlier

_TAIL_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_PAUSE_S = 0.2


class LogError(Exception):
    """There is no such log; the message names those that there are."""


class Line(NamedTuple):
    """A line of a process's log, without its end."""

    process: str
    text: str


def find_logs(data_dir: Path) -> dict[str, Path]:
    """The log of each process that ever ran here, whether it runs or not."""
    stores = [data_dir / name / f"{name}.log" for name in ("clickhouse", "kafka")]
    services = sorted((data_dir / "logs").glob("*.log"))
    return {path.stem: path for path in [*stores, *services] if path.exists()}


def choose(data_dir: Path, names: Sequence[str]) -> dict[str, Path]:
    """The logs of the processes called `names`, all if none is. Raises LogError."""
    found = find_logs(data_dir)
    if not found:
        raise LogError(f"{data_dir} has no logs: nothing was ever started there")
    if unknown := [name for name in names if name not in found]:
        raise LogError(
            f"no log of {', '.join(unknown)} in {data_dir}: there are {', '.join(found)}"
        )
    return {name: path for name, path in found.items() if not names or name in names}


def last_lines(path: Path, count: int) -> tuple[list[str], int]:
    """Up to `count` last whole lines of `path`, of its last mebibyte, and where they end."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _TAIL_BYTES)
        file.seek(start)
        content = file.read(size - start)
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.decode(errors="replace").splitlines()
    if start and lines:
        del lines[0]  # it begins somewhere in its middle
    return (lines[-count:] if count else []), start + len(whole)


@dataclass(slots=True)
class _Followed:
    """How far a log was read, and which file it was then."""

    inode: int
    offset: int

    def news(self, path: Path) -> list[str]:
        """Whole lines since the last call; from the start where the file is another or was cut."""
        before = b""
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self.inode:
                    self.inode, self.offset = status.st_ino, 0
                elif status.st_size < self.offset:
                    before = self._rest(earlier(path))
                    self.offset = 0
                file.seek(self.offset)
                content = file.read(_PIECE_BYTES)
        except FileNotFoundError:
            return []
        end = content.rfind(b"\n") + 1
        if not end and len(content) == _PIECE_BYTES:
            end = len(content)  # an endless line: in pieces
        self.offset += end
        return (before + content[:end]).decode(errors="replace").splitlines()

    def _rest(self, cut_off: Path) -> bytes:
        """What was written to a log between the last call and the cut."""
        try:
            with cut_off.open("rb") as file:
                file.seek(self.offset)
                rest = file.read(_TAIL_BYTES)
        except FileNotFoundError:
            return b""
        return rest[: rest.rfind(b"\n") + 1]


def tail(logs: dict[str, Path], count: int) -> Iterator[Line]:
    """The last lines of each log, one log behind the other."""
    for name, path in logs.items():
        for text in last_lines(path, count)[0]:
            yield Line(name, text)


def follow(
    data_dir: Path,
    names: Sequence[str],
    count: int,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """The last lines, then every new one, without end.

    It follows a log through its rotation, and takes up a process that is started later.
    """
    followed: dict[str, _Followed] = {}
    for name, path in choose(data_dir, names).items():
        lines, offset = last_lines(path, count)
        followed[name] = _Followed(path.stat().st_ino, offset)
        yield from (Line(name, text) for text in lines)
    while True:
        quiet = True
        for name, path in find_logs(data_dir).items():
            if names and name not in names:
                continue
            place = followed.setdefault(name, _Followed(0, 0))
            for text in place.news(path):
                quiet = False
                yield Line(name, text)
        if quiet:
            pause(_PAUSE_S)
