"""Many requests in one thread: each has its turn until it ends or waits.

A request spends its time waiting for Kafka. Were it a thread that waits, each wait would hand
Python's lock to another thread and back, and on a busy worker these changes cost more than the
request's own work. So a request runs in a greenlet: a function with a stack of its own that the
worker's loop can leave where it waits, and take up later, without the kernel. The code of a
request stays as it is written for threads, and runs in threads wherever nobody gives it turns.

The one module here that imports greenlet.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")

_LOOK_EVERY_S = 0.05
_PAUSE_S = 0.001
_LONG_PAUSE_S = 0.016
_QUIET_S = 0.05
_LONGEST_S = 3600.0
_HELPERS = 4


class Signal(Protocol):
    """Something that happens once, and that one waits for."""

    def set(self) -> None:
        """Let it happen. Any thread may."""

    def wait(self, timeout_s: float) -> bool:
        """Whether it happened within so many seconds. Not to be asked again after True."""


class Turns:
    """Gives requests their turns. All but `Signal.set` is of one thread, that of the loop.

    Args:
        monotonic: the clock, seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: dict[_TurnSignal, tuple[_Turn, float]] = {}
        self._happened: deque[_TurnSignal] = deque()
        self._look_at_s = 0.0
        self._lively_s = 0.0
        self._sources: list[Callable[[], object]] = []
        self._helpers: ThreadPoolExecutor | None = None

    def now(self) -> bool:
        """Whether the caller has a turn, and may not hold up the thread."""
        return isinstance(getcurrent(), _Turn)

    def signal(self) -> Signal:
        """For the caller to wait for: in its turn, or in its thread."""
        return _TurnSignal(self) if self.now() else _ThreadSignal()

    def elsewhere(self, call: Callable[[], T]) -> T:
        """What a call returns or raises that may take long: others have their turns meanwhile."""
        if not self.now():
            return call()
        if self._helpers is None:
            self._helpers = ThreadPoolExecutor(_HELPERS, thread_name_prefix="elsewhere")
        done = _TurnSignal(self)
        future: Future[T] = self._helpers.submit(call)
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_LONGEST_S):
            pass
        return future.result()

    # What the loop calls.

    def ask(self, source: Callable[[], object]) -> None:
        """Call this in each round: it lets happen what turns wait for, and never waits itself."""
        self._sources.append(source)

    def begin(self, call: Callable[[Any], object], argument: object) -> None:
        """Run it until it ends or waits."""
        _Turn(call).switch(argument)

    def pause_s(self, most_s: float) -> float:
        """How long the loop may sleep. Nothing wakes it when what a turn waits for happens."""
        if not self._waiting:
            return most_s
        quiet = self._monotonic() - self._lively_s > _QUIET_S
        return min(most_s, _LONG_PAUSE_S if quiet else _PAUSE_S)

    def resume(self) -> None:
        """Take up what waits no longer, until it ends or waits again."""
        for source in self._sources:
            source()
        now_s = self._monotonic()
        if self._happened:
            self._lively_s = now_s
        while self._happened:
            self._take_up(self._happened.popleft())
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_EVERY_S
            for signal in [s for s, (_, end_s) in self._waiting.items() if end_s <= now_s]:
                self._take_up(signal)

    def _take_up(self, signal: _TurnSignal) -> None:
        # It may have happened before anybody waited, or after the time was over.
        turn, _ = self._waiting.pop(signal, (None, 0.0))
        if turn is not None:
            turn.switch()

    # What a turn's signal calls.

    def park(self, signal: _TurnSignal, timeout_s: float) -> None:
        """Leave the caller's turn until the signal is set or the time is over."""
        turn = getcurrent()
        assert isinstance(turn, _Turn) and turn.parent is not None  # noqa: S101, PT018  # made in one
        now_s = self._monotonic()
        if not self._waiting:
            self._lively_s = now_s
        self._waiting[signal] = (turn, now_s + timeout_s)
        turn.parent.switch()

    def happened(self, signal: _TurnSignal) -> None:
        """Any thread may call it."""
        self._happened.append(signal)


class _Turn(greenlet):
    """A request that runs by turns."""


class _TurnSignal:
    """A signal for a turn: waiting leaves the thread to others."""

    __slots__ = ("_is_set", "_turns")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        self._turns.happened(self)

    def wait(self, timeout_s: float) -> bool:
        if not self._is_set:
            self._turns.park(self, timeout_s)
        return self._is_set


class _ThreadSignal:
    """A signal for a thread. A third of the cost of an Event, and there is one caller to wake."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        return self._lock.acquire(timeout=max(0.0, timeout_s))
