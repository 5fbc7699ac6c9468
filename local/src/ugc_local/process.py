"""Child processes of the local stack: started, watched, stopped to the last descendant."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from ugc_local.deadline import Deadline

# Of a float written as text; two processes with one pid are much further apart.
_CREATION_TOLERANCE_S = 0.005

_KILL_S = 30.0

_FRAME = re.compile(r"\s+(at [\w.$/@-]+\(.*\)|\.\.\. \d+ more)$")
# What the C library calls ENOSPC, EFBIG and EDQUOT.
_FULL = ("No space left on device", "File too large", "Disk quota exceeded", "Disc quota exceeded")

# Waits for a line before it becomes the program, so that the guard knows the process before it
# does anything; without the line (its starter died) it ends.
_GATE = 'read -r _ && exec "$@" </dev/null'


# What the guard is told of processes that are to outlive their starter; with logs to keep short,
# it is followed by their bound in bytes and their paths as JSON.
RELEASE = "release"


class ProcessExitedError(Exception):
    """A process that should run has ended; the message has its status and last log lines."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told apart from a later one that got the same pid by its time of creation.

    `created_s` is in seconds since the machine's start on Linux, where setting the clock moves
    the time of day of everything that ever happened, and since the epoch elsewhere.
    """

    pid: int
    created_s: float

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Raises psutil.NoSuchProcess if there is none."""
        return cls(pid, _created_s(psutil.Process(pid)))

    def process(self) -> psutil.Process | None:
        """The living process, or None when it has ended (a zombie has) or the pid is another's."""
        try:
            found = psutil.Process(self.pid)
            if abs(_created_s(found) - self.created_s) > _CREATION_TOLERANCE_S:
                return None
            return found if _runs(found) else None
        except psutil.NoSuchProcess:
            return None

    def is_alive(self) -> bool:
        return self.process() is not None


def _created_s(process: psutil.Process) -> float:
    if not sys.platform.startswith("linux"):
        return process.create_time()
    try:
        text = Path(f"/proc/{process.pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(process.pid) from error
    # proc_pid_stat(5): field 22, in clock ticks; field 2 is a name in brackets with anything in it.
    return int(text.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """Names this run of the machine, where times of creation count from its start; else empty."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def stop_trees(identities: Iterable[ProcessIdentity], *, grace_s: float) -> None:
    """Stop these processes and their descendants: SIGTERM, up to `grace_s` seconds, SIGKILL.

    All get SIGTERM at once, and only they: what they started is theirs to end in good order.
    Descendants that are left get SIGKILL. Raises TimeoutError if something survives that.
    """
    roots = [found for identity in identities if (found := identity.process())]
    tree: set[psutil.Process] = set(roots)

    def roots_gone() -> bool:
        tree.update(_descendants(roots))
        return not any(map(_runs, roots))

    def all_gone() -> bool:
        tree.update(_descendants(roots))
        left = [process for process in tree if _runs(process)]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return not left

    tree.update(_descendants(roots))
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            root.terminate()
    Deadline.after(grace_s).poll(roots_gone, interval_s=0.05)
    if not Deadline.after(_KILL_S).poll(all_gone):
        left = [process.pid for process in tree if _runs(process)]
        raise TimeoutError(f"processes {left} survived SIGKILL for {_KILL_S:.0f} s")


def _descendants(roots: Sequence[psutil.Process]) -> Iterator[psutil.Process]:
    """Those that the living roots started, and all of the sessions that the roots lead.

    A session outlives its leader, so what a root started in its last moment is found too.
    """
    sessions = {root.pid for root in roots}
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield from root.children(recursive=True)
    for pid in psutil.pids():
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            if os.getsid(pid) in sessions:
                yield psutil.Process(pid)


def tree_memory_bytes(root: psutil.Process) -> int:
    """Resident memory of a process and its descendants; shared pages count for each of them.

    Raises psutil.NoSuchProcess if the process has ended.
    """
    total: int = root.memory_info().rss
    for child in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += child.memory_info().rss
    return total


def _runs(process: psutil.Process) -> bool:
    """Whether any of it runs: its first thread may be gone while others still end.

    Until the last one has ended its ports and locks are taken.
    """
    try:
        if not process.is_running():
            return False
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


class Guard:
    """Stops the processes given to it when this process ends, even by SIGKILL.

    It is a process of its own that reads a pipe from this one: the kernel closes the pipe
    whenever this process ends. PR_SET_PDEATHSIG is Linux only, and is bound to the thread that
    started the child. A fork of this process without exec holds the pipe open: do not make one.
    Each of the watched has `grace_s` seconds between SIGTERM and SIGKILL.
    """

    def __init__(self, *, grace_s: float = 5.0) -> None:
        # A session of its own, else Ctrl-C in the terminal would end it before the others.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ugc_local.guard", str(grace_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, identity: ProcessIdentity) -> None:
        """Stop this process too; a line in the pipe outlives its writer."""
        self._tell(f"{identity.pid} {identity.created_s!r}\n")

    @property
    def identity(self) -> ProcessIdentity:
        """Of the guard's own process, to be asked while it runs."""
        return ProcessIdentity.of(self._process.pid)

    def release(self, logs: Sequence[Path] = (), *, max_log_bytes: int = 0) -> None:
        """Let all that it watches outlive this process.

        The guard ends; or, given logs, it lives on with what it watched and keeps each of them
        below about `max_log_bytes`.
        """
        if not logs:
            self._tell(f"{RELEASE}\n")
            self.close()
            return
        words = {"max_bytes": max_log_bytes, "logs": [str(path) for path in logs]}
        self._tell(f"{RELEASE} {json.dumps(words)}\n")
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was opened as a pipe
        stdin.close()
        # It is nobody's child from now on: nothing to reap, and no warning that it still runs.
        self._process.returncode = 0

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was opened as a pipe
        stdin.write(line.encode())
        stdin.flush()

    def close(self) -> None:
        """Stop what still runs of the watched, the latest first, and wait for that."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Process:
    """One supervised child; its output is appended to a log file.

    It runs in a session of its own: Ctrl-C in the terminal reaches its starter alone, which
    stops things in order. With a guard it ends with its starter; without, it outlives it.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str],
        cwd: Path,
        guard: Guard | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._popen = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, "sh", *argv] if guard else argv,
                stdin=subprocess.PIPE if guard else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd=cwd,
                start_new_session=True,
            )
        self.identity = ProcessIdentity.of(self._popen.pid)
        if guard:
            guard.watch(self.identity)
            assert self._popen.stdin is not None  # noqa: S101 - it was opened as a pipe
            with self._popen.stdin as gate, contextlib.suppress(BrokenPipeError):
                gate.write(b"\n")

    @property
    def pid(self) -> int:
        return self.identity.pid

    def exit_status(self) -> int | None:
        """None while it runs, else its exit status, or minus the signal that ended it."""
        return self._popen.poll()

    def require_running(self) -> None:
        """Raise ProcessExitedError if it has ended."""
        status = self.exit_status()
        if status is not None:
            how = f"exited with status {status}" if status >= 0 else f"ended by {_signal(-status)}"
            raise ProcessExitedError(f"{self.name} {how}. {self.last_words()}")

    def wait(self, deadline: Deadline) -> int:
        """Its exit status; TimeoutError when it still runs at the deadline."""
        try:
            return self._popen.wait(deadline.left_s())
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} still runs. {self.last_words()}") from None

    def stop(self, *, grace_s: float) -> None:
        """SIGTERM, up to `grace_s` seconds, SIGKILL, for it and its descendants."""
        stop_all([self], grace_s=grace_s)

    def kill(self) -> None:
        """SIGKILL to this process alone, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.kill()
        self._popen.wait()

    def last_words(self, lines: int = 15) -> str:
        """Sentences with the last lines that this process logged, for an error message."""
        text = log_tail(self.log, lines, self._log_start)
        hint = "The disk is full: free some of it. " if any(map(text.count, _FULL)) else ""
        return f"{hint}Its last log lines ({self.log}):\n{text}"


def stop_all(processes: Sequence[Process], *, grace_s: float) -> None:
    """Stop these processes together, as stop_trees does, and collect their exit statuses."""
    stop_trees([process.identity for process in processes], grace_s=grace_s)
    for process in processes:
        process._popen.wait()  # it has ended: this reaps it


def log_tail(log: Path, lines: int, start: int = 0) -> str:
    """The last `lines` lines that `log` has behind byte `start`, indented.

    Without Java's stack frames, of which a page stands below the line that says what happened.
    """
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - 64 * 1024))
        text = file.read().decode(errors="replace")
    told = [line for line in text.splitlines() if not _FRAME.match(line)]
    return "\n".join(f"  {line}" for line in told[-lines:]) or "  (nothing)"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
