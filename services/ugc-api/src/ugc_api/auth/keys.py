"""The keys that are accepted now, and how they follow their source.

A request never fetches keys. A thread reads the source again and again; while it cannot, the last
good set stays. A token that names an unknown key asks that thread to look sooner, at most once in
a while, and a few requests may wait for what it finds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from ugc_api.auth.jose import Header, Key, KeyMaterialError
from ugc_api.turns import Turns

_log = logging.getLogger(__name__)

LOOK_AGAIN_S = 10.0
"""No unknown key makes the source be read within this of the last reading."""
WAIT_S = 2.0
_HURRY_S = 2.0
MAX_WAITING = 4


class KeySet:
    """Some keys, immutable. Two sets are the same when their keys are."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)
        self.identity = frozenset(key.identity for key in keys)

    def __len__(self) -> int:
        return len(self._keys)

    def fitting(self, header: Header) -> list[Key]:
        """The keys that may have signed a token with this header.

        A key without a name fits any token of its algorithm. A token without `kid` fits a named
        key only where no other has the algorithm.
        """
        able = [key for key in self._keys if key.algorithm == header.algorithm]
        if header.kid is None:
            named = [key for key in able if key.kid is not None]
            return [key for key in able if key.kid is None] + (named if len(named) == 1 else [])
        return [key for key in able if key.kid in (None, header.kid)]

    def knows(self, kid: str) -> bool:
        """Whether a key has this name."""
        return any(key.kid == kid for key in self._keys)


class KeyRing:
    """The keys of one service: those that stay, and those that a source may change.

    Args:
        fixed: keys that never change.
        read: the changing ones, anew; raises KeyMaterialError or OSError. None: there are none.
        every_s: how often the source is read.
        turns: of requests, others of which go on while some wait for newer keys.
        monotonic: the clock, seconds.
    """

    def __init__(
        self,
        fixed: Sequence[Key] = (),
        read: Callable[[], Sequence[Key]] | None = None,
        *,
        every_s: float = 300.0,
        turns: Turns | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current = KeySet(fixed)
        self._fixed = tuple(fixed)
        self._read = read
        self._every_s = every_s
        self._turns = turns or Turns()
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._readings = 0
        self._read_at = float("-inf")
        self._wanted = False
        self._closing = False
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._problem: str | None = None if read is None else "the keys have not been read yet"
        self._thread: threading.Thread | None = None
        if read is not None:
            self._thread = threading.Thread(target=self._follow, name="keys", daemon=True)
            self._thread.start()

    def not_ready(self) -> str | None:
        """Why no token can be verified; None once there are keys."""
        return None if len(self.current) else self._problem

    def look_for(self, header: Header) -> KeySet:
        """The current set, after a look at the source where that may help and is due.

        It may where a token names a key that is not known. Waits at most WAIT_S, and of all
        callers at most MAX_WAITING do.
        """
        kid = header.kid
        shared = header.algorithm == "HS256"  # no source gives such keys
        if self._read is None or shared or kid is None or self.current.knows(kid):
            return self.current
        if not self._waiting.acquire(blocking=False):
            return self.current
        try:
            due = self._monotonic() - self._read_at >= LOOK_AGAIN_S
            if due or self._wanted:
                self._turns.elsewhere(self._await_reading)
        finally:
            self._waiting.release()
        return self.current

    def _await_reading(self) -> None:
        with self._changed:
            self._wanted = True
            seen = self._readings
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._readings > seen or self._closing, WAIT_S)

    def close(self) -> None:
        """Stop following the source."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(WAIT_S)

    def _follow(self) -> None:
        while not self._closing:
            self._look()
            # Without any key nobody is served, so then the source is asked most often.
            pause_s = self._every_s
            if self._problem is not None:
                pause_s = min(self._every_s, LOOK_AGAIN_S if len(self.current) else _HURRY_S)
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closing, pause_s)

    def _look(self) -> None:
        assert self._read is not None  # noqa: S101  # the thread exists for it
        try:
            found = KeySet([*self._fixed, *self._read()])
        except (KeyMaterialError, OSError) as error:
            self._say(f"the keys cannot be read: {error}")
            found = self.current
        else:
            self._say(None)
        with self._changed:
            # Only a set that differs is put in place: tokens are remembered with their set.
            if found.identity != self.current.identity:
                _log.info("%d keys verify tokens now", len(found))
                self.current = found
            self._readings += 1
            self._read_at = self._monotonic()
            self._wanted = False
            self._changed.notify_all()

    def _say(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            _log.warning("%s; %d keys stay in use", problem, len(self.current))
        self._problem = problem
