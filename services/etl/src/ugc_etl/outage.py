"""One line of log when something goes down, one a minute while it is, one when it is back."""

import logging

_EVERY_S = 60.0


class Outage:
    """The state of one thing that others depend on."""

    def __init__(self, what: str, log: logging.Logger, *, tolerated_s: float = 0.0) -> None:
        """What is over within `tolerated_s` is no news."""
        self._what = what
        self._log = log
        self._tolerated_s = tolerated_s
        self._since_s: float | None = None
        self._said_at_s: float | None = None

    def failed(self, reason: str, now_s: float) -> None:
        """Count a failure at `now_s`, of a clock that only goes forward."""
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < self._tolerated_s:
            return
        if self._said_at_s is None:
            self._log.warning("%s: %s; trying again", self._what, reason)
        elif now_s - self._said_at_s >= _EVERY_S:
            self._log.warning("%s for %.0f s: %s", self._what, now_s - self._since_s, reason)
        else:
            return
        self._said_at_s = now_s

    def worked(self, now_s: float) -> None:
        """It answers."""
        if self._since_s is not None and self._said_at_s is not None:
            self._log.info("%s: over after %.0f s", self._what, now_s - self._since_s)
        self._since_s = self._said_at_s = None
