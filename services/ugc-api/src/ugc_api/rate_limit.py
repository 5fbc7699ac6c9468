"""How much one viewer may send; the one module here that imports the library of limits.

Requests are counted because each costs the server, events because each costs the log and
everything behind it. The counts are this process's own: a viewer whose requests are spread over
several pods has the limit in each.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from uuid import UUID

from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

WINDOW_S = 60
MAX_COUNTS = 100_000


class RateLimitedError(Exception):
    """The viewer has sent enough for now. The message may be shown to the client.

    Attributes:
        what: `requests` or `events`.
        limit: of them in WINDOW_S.
        remaining: how many it still may send in this window.
        retry_after_s: when the next window begins, in seconds, at least 1.
    """

    def __init__(self, what: str, limit: int, remaining: int, retry_after_s: int) -> None:
        super().__init__(f"at most {limit} {what} a minute")
        self.what = what
        self.limit = limit
        self.remaining = remaining
        self.retry_after_s = retry_after_s


class WindowCounts(Storage):
    """Counts of the current window; all of them end together, so nothing has to be swept.

    The library's own store sweeps every key in a thread of its own, again and again, and has no
    bound. This one holds at most `max_counts`, and forgets all of them when there are more: then
    viewers get a new window early, which is the better mistake.

    Args:
        now_s: the clock, seconds.
        max_counts: most counts that are held.
    """

    STORAGE_SCHEME = None

    def __init__(self, now_s: Callable[[], float], max_counts: int = MAX_COUNTS) -> None:
        super().__init__()
        self._now_s = now_s
        self._max_counts = max_counts
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._ends_s = 0.0

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """See Storage: memory does not fail."""
        return ()

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """See Storage."""
        with self._lock:
            now_s = self._now_s()
            if now_s >= self._ends_s or len(self._counts) >= self._max_counts:
                self._counts.clear()
                self._ends_s = now_s + expiry
            count = self._counts.get(key, 0) + amount
            self._counts[key] = count
            return count

    def get(self, key: str) -> int:
        """See Storage."""
        with self._lock:
            return self._counts.get(key, 0) if self._now_s() < self._ends_s else 0

    def get_expiry(self, key: str) -> float:
        """See Storage."""
        del key
        return self._ends_s

    def check(self) -> bool:
        """See Storage."""
        return True

    def reset(self) -> int:
        """See Storage."""
        with self._lock:
            count = len(self._counts)
            self._counts.clear()
            return count

    def clear(self, key: str) -> None:
        """See Storage."""
        with self._lock:
            self._counts.pop(key, None)


class Allowance:
    """What each viewer may still send of one thing.

    Args:
        what: `requests` or `events`.
        per_minute: 0 for any number.
        now_s: the clock, seconds; need not be the time of day.
        max_counts: see WindowCounts.
    """

    def __init__(
        self,
        what: str,
        per_minute: int,
        *,
        now_s: Callable[[], float] = time.monotonic,
        max_counts: int = MAX_COUNTS,
    ) -> None:
        self._what = what
        self._now_s = now_s
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = FixedWindowRateLimiter(WindowCounts(now_s, max_counts))

    def spend(self, user_id: UUID, count: int = 1) -> None:
        """Count what a viewer sends; what is refused is not counted. Raises RateLimitedError."""
        limit = self._limit
        if limit is None:
            return
        user = user_id.hex
        if self._limiter.test(limit, user, cost=count) and self._limiter.hit(
            limit, user, cost=count
        ):
            return
        reset_s, remaining = self._limiter.get_window_stats(limit, user)
        wait_s = max(1, math.ceil(reset_s - self._now_s()))
        raise RateLimitedError(self._what, limit.amount, remaining, wait_s)
