"""The loop of the gunicorn worker: it receives, begins requests, and takes up those that waited.

It stands on these parts of gunicorn 27's ThreadWorker: `notify`, `load_wsgi`,
`wait_for_and_dispatch_events` (called in each round of the loop, while serving and while
stopping) and `handle` (answers one request of a connection).
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from ugc_api.turns import Turns

_BEGIN_S = 0.002
"""For so long new requests begin before the loop looks at what has come meanwhile."""
_NOTIFY_EVERY_S = 0.5


class LoopWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Handles requests by turns instead of in threads.

    The app says in `extensions["ugc_api.turns"]` by which; one that does not never waits.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._whole: deque[Any] = deque()
        self._handled: deque[tuple[Any, bool]] = deque()
        self._begun = 0
        self._turns = Turns()
        self._notify_at_s = 0.0

    @abstractmethod
    def answer(self, conn: Any, keep: bool) -> None:
        """The app is done with a request; `keep` tells whether its connection may have another."""

    def begin_soon(self, conn: Any) -> None:
        """A request has come whole: it begins when it is its turn."""
        self._whole.append(conn)

    def load_wsgi(self) -> None:
        """See gunicorn."""
        super().load_wsgi()
        self._turns = self.wsgi.extensions.get("ugc_api.turns", self._turns)

    def notify(self) -> None:
        """Tell the arbiter that the loop lives: not in each of a thousand rounds a second."""
        now_s = time.monotonic()
        if now_s >= self._notify_at_s:
            self._notify_at_s = now_s + _NOTIFY_EVERY_S
            super().notify()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One round."""
        pause_s = 0.0 if self._may_begin() else self._turns.pause_s(timeout)
        super().wait_for_and_dispatch_events(pause_s)
        self._turns.resume()
        end_s = time.monotonic() + _BEGIN_S
        while self._may_begin() and time.monotonic() < end_s:
            self._begun += 1
            self._turns.begin(self._handle, self._whole.popleft())
        # Here and not where it ends: many requests behind each other would nest as deep.
        for _ in range(len(self._handled)):
            conn, keep = self._handled.popleft()
            self._begun -= 1
            self.answer(conn, keep)

    def _may_begin(self) -> bool:
        return bool(self._whole) and self._begun < self.cfg.threads

    def _handle(self, conn: Any) -> None:
        keep = self.handle(conn)
        self._handled.append((conn, bool(keep)))
