"""One command at a time inserts, and nothing of a former one lands after the next has looked.

A command that inserts holds the lease of its group. Before it asks what is there it declares
until when its inserts may land: every row carries that second as `_insert_by`, every dead letter
as its timestamp, and the stores refuse both afterwards. Whoever takes the lease fences the former
holder, so that nothing new is declared, waits until what was declared has passed, and kills what
still runs. Only then does it look. ADR 12 goes through the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ugc_etl.operations.ports import Declared, LeaseLog, Sql
from ugc_etl.operations.rows_once import Clock
from ugc_etl.ports import OutcomeUnknownError, RefusedError

# A transaction that was left open keeps the answer back until the broker ends it: after its
# time-out of 10 s, for which it looks every 10 s.
_PATIENCE_S = 30.0
_AGAIN_AFTER_S = 0.5


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long.

    Attributes:
        deadline_s: from declaring to the last moment in which an insert may land; at most that of
            the consumers, who wait for so long before they trust what they find.
        fence_s: the dead-letter topic takes letters for so long after that moment.
    """

    deadline_s: float
    fence_s: float


class Lease:
    """The lease, as one command has it."""

    def __init__(
        self,
        log: LeaseLog,
        sql: Sql,
        clock: Clock,
        terms: LeaseTerms,
        *,
        holder: str,
        cancel: Callable[[], None],
        on_progress: Callable[[str], None],
    ) -> None:
        """`holder` names the command for people; `cancel` kills running inserts of commands."""
        self._log = log
        self._sql = sql
        self._clock = clock
        self._terms = terms
        self._holder = holder
        self._cancel = cancel
        self._on_progress = on_progress
        self._until_s = 0

    def take(self) -> None:
        """Become the holder; when this returns no other command's insert can land any more.

        Waits while a former holder's inserts may land. Raises RefusedError where that holder is
        seen at work, OutcomeUnknownError where Kafka does not answer.
        """
        first = self._declared()
        self._wait(first, lambda now: _refuse_where_renewed(first, now))
        self._log.fence()
        # Another may have declared in between; it is fenced now.
        self._wait(self._declared(), lambda _: None)
        self._cancel()

    def until_s(self) -> int:
        """Until when an insert may land, by ClickHouse's clock, s since the epoch; declared.

        At least half the deadline is left. Ask before looking what is there. Raises RefusedError
        where another command has taken the lease, OutcomeUnknownError.
        """
        now_s = self._now_s()
        if self._until_s - now_s < self._terms.deadline_s / 2:
            until_s = int(now_s + self._terms.deadline_s)
            self._log.declare(Declared(self._holder, until_s))
            self._until_s = until_s
        return self._until_s

    def give_back(self) -> None:
        """Nothing is in flight: the next one need not wait. Not after an unknown outcome.

        All is done by then, so it is no failure where another has the lease already.
        """
        if not self._until_s:
            return
        try:
            self._log.declare(Declared(self._holder, 0))
        except (RefusedError, OutcomeUnknownError) as error:
            self._on_progress(f"this command is through, and its lease was not given back: {error}")

    def _wait(self, declared: Declared | None, look: Callable[[Declared], None]) -> None:
        told = False
        while declared is not None and self._left_s(declared) > 0:
            if not told:
                self._on_progress(
                    f"inserts of {declared.holder} may land for {self._left_s(declared):.0f} s"
                    " more: waiting"
                )
                told = True
            self._clock.wait(_AGAIN_AFTER_S)
            declared = self._declared()
            if declared is not None:
                look(declared)

    def _left_s(self, declared: Declared) -> float:
        # The constraint knows whole seconds: what is declared may land up to the next one.
        return declared.until_s + 1 + self._terms.fence_s - self._now_s()

    def _declared(self) -> Declared | None:
        """What was declared last, as soon as it is certain."""
        until_s = self._clock.monotonic_s() + _PATIENCE_S
        while True:
            try:
                return self._log.declared()
            except OutcomeUnknownError:
                if self._clock.monotonic_s() >= until_s:
                    raise
                self._clock.wait(_AGAIN_AFTER_S / 5)

    def _now_s(self) -> float:
        [(now_ms,)] = self._sql.execute("SELECT toUnixTimestamp64Milli(now64(3))")
        return float(now_ms) / 1000


def _refuse_where_renewed(first: Declared | None, now: Declared) -> None:
    if first is not None and now.until_s > first.until_s:
        raise RefusedError(f"{now.holder} is at work; repeat this command when it is through")
