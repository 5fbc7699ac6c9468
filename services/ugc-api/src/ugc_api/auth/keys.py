"""The keys that are accepted now.

A request never fetches keys: threads follow their sources (`following`). A token that names an
unknown key asks for a look at the source, at most once in a while, and a few requests may wait
for what it finds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from ugc_api.auth.following import Follower, KeySource
from ugc_api.auth.jose import SHARED, Header, Key
from ugc_api.turns import Turns

_log = logging.getLogger(__name__)

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
    """The keys of one service: those that stay, and those that sources may change.

    Args:
        fixed: keys that never change.
        sources: of the others; each is read by a thread of its own, so that a slow one holds up
            no other.
        on_reading: called after each reading, with the source's name and whether it succeeded.
        turns: of requests, others of which go on while some wait for newer keys.
        monotonic: the clock, seconds.

    Attributes:
        current: all keys that are accepted now. It is replaced when they change, and only then:
            tokens are remembered with their set.
    """

    def __init__(
        self,
        fixed: Sequence[Key] = (),
        sources: Sequence[KeySource] = (),
        *,
        on_reading: Callable[[str, bool], None] = lambda _source, _succeeded: None,
        turns: Turns | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current = KeySet(fixed)
        self._fixed = tuple(fixed)
        self._on_reading = on_reading
        self._turns = turns or Turns()
        self._changing = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._followers = [Follower(source, self._put, monotonic) for source in sources]
        for follower in self._followers:
            follower.start()

    def not_ready(self) -> str | None:
        """Why no token can be verified; None once there are keys."""
        if len(self.current):
            return None
        return next((f.problem for f in self._followers if f.problem is not None), None)

    def look_for(self, header: Header) -> KeySet:
        """The current set, after a look at the source where that may help and is due.

        It may where a token names a key that is not known. Waits at most WAIT_S, and of all
        callers at most MAX_WAITING do.
        """
        if header.kid is None or self.current.knows(header.kid):
            return self.current
        shared = header.algorithm == SHARED
        for follower in self._followers:
            if follower.source.shared == shared and self._waiting.acquire(blocking=False):
                try:
                    if follower.is_due():
                        self._turns.elsewhere(follower.look)
                finally:
                    self._waiting.release()
        return self.current

    def close(self) -> None:
        """Stop following the sources."""
        for follower in self._followers:
            follower.close()

    def _put(self, source: str, succeeded: bool) -> None:
        with self._changing:
            found = KeySet([*self._fixed, *(key for f in self._followers for key in f.keys)])
            if found.identity != self.current.identity:
                _log.info("keys that verify tokens now: %d", len(found))
                self.current = found
        self._on_reading(source, succeeded)
