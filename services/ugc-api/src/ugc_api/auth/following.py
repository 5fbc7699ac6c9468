"""One source of keys, and a thread that reads it again and again.

While it cannot be read, the last good keys stay. Nothing here makes it be read more often than
LOOK_AGAIN_S, unless its own interval is shorter.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ugc_api.auth.jose import Key, KeyMaterialError

_log = logging.getLogger(__name__)

LOOK_AGAIN_S = 10.0
"""No unknown key makes a source be read within this of the last reading."""
WAIT_S = 2.0
_HURRY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class KeySource:
    """Where keys come from.

    Attributes:
        name: for logs and metrics: the setting that names it.
        read: all of its keys; raises KeyMaterialError or OSError.
        every_s: how often it is read.
        shared: whether its keys are shared secrets (HS256); else they are public ones.
    """

    name: str
    read: Callable[[], Sequence[Key]]
    every_s: float
    shared: bool = False


class Follower:
    """Holds the last good keys of one source.

    Args:
        source: which.
        on_reading: called by the thread after each reading, with the source's name and whether
            it succeeded, before anybody who waits for the reading goes on.
        monotonic: the clock, seconds.

    Attributes:
        keys: the last good ones; none before the first good reading.
        problem: why the source could not be read the last time, None if it could.
    """

    def __init__(
        self,
        source: KeySource,
        on_reading: Callable[[str, bool], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.keys: tuple[Key, ...] = ()
        self.problem: str | None = "the keys have not been read yet"
        self._on_reading = on_reading
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._begun = self._done = 0  # readings
        self._began_at = float("-inf")
        self._wanted = False
        self._closing = False
        self._thread = threading.Thread(target=self._follow, name=source.name, daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def is_due(self) -> bool:
        """Whether a look is worth while: a reading is under way, or the last one long ago."""
        recent = self._monotonic() - self._began_at < LOOK_AGAIN_S
        return self._wanted or self._begun > self._done or not recent

    def look(self) -> None:
        """If that is due, have the source read and wait for it, WAIT_S at the most."""
        with self._changed:
            if not self.is_due():
                return
            awaited = self._begun
            if awaited == self._done:
                awaited += 1
                self._wanted = True
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._done >= awaited or self._closing, WAIT_S)

    def close(self) -> None:
        """Stop following."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(WAIT_S)

    def _follow(self) -> None:
        while not self._closing:
            self._read()
            pause_s = self.source.every_s
            if self.problem is not None:
                # Without any key nobody is served, so then the source is asked most often.
                pause_s = min(pause_s, LOOK_AGAIN_S if self.keys else _HURRY_S)
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closing, pause_s)

    def _read(self) -> None:
        with self._changed:
            self._begun += 1
            self._began_at = self._monotonic()
            self._wanted = False
        keys, problem = self.keys, None
        try:
            keys = tuple(self.source.read())
        except (KeyMaterialError, OSError) as error:
            problem = f"the keys of {self.source.name} cannot be read: {error}"
        with self._changed:
            self.keys = keys
            self._say(problem)
            self._on_reading(self.source.name, problem is None)
            self._done = self._begun
            self._changed.notify_all()

    def _say(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            _log.warning("%s; the last good ones stay in use: %d", problem, len(self.keys))
        self.problem = problem
