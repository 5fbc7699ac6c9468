"""Lines about answers that are errors; of the others, metrics tell enough."""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)

LINES = 5
PERIOD_S = 10.0


class AccessLog:
    """Logs each status a few times a period, and then how many it left out.

    Whoever wants to fill a disk, or an outage, gets LINES lines for each status in PERIOD_S.

    Args:
        timer_s: the clock, seconds.
    """

    def __init__(self, timer_s: Callable[[], float]) -> None:
        self._timer_s = timer_s
        # Of each status: when its period began, and what came in it. Threads may lose a count to
        # each other, which costs a line too many and no lock.
        self._periods: dict[int, tuple[float, int]] = {}

    def answered(
        self, method: str, route: str, status: int, seconds: float, client: str | None
    ) -> None:
        """Tell of an answer: 400 and up as info, 500 and up as a warning.

        Args:
            method: of the request.
            route: the rule that matched, never the path as it was asked for.
            status: of the answer.
            seconds: that it took.
            client: its address, as far as proxies are trusted.
        """
        if status < 400:
            return
        now_s = self._timer_s()
        begun_s, count = self._periods.get(status, (now_s, 0))
        left_out = 0
        if now_s - begun_s >= PERIOD_S:
            left_out = max(0, count - LINES)
            begun_s, count = now_s, 0
        self._periods[status] = begun_s, count + 1
        if count >= LINES:
            return
        fields = {
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "client": client,
        }
        if left_out:
            fields["left_out"] = left_out
        level = logging.WARNING if status >= 500 else logging.INFO
        _log.log(level, "answered %d", status, extra={"fields": fields})
