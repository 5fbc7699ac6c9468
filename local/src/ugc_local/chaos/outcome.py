"""What a run came to, as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class FaultRecord:
    """One fault of the timeline.

    Attributes:
        kind: its kind's name.
        whom: the consumer, where one was befallen.
        began_s, undone_s: seconds since the run began.
        evidence: what shows that it had an effect; empty where it had none, or failed.
        why_not: why it does not count.
        recovered_s: from its end until the lag was back below a second; None: never.
    """

    kind: str
    whom: str
    began_s: float
    undone_s: float = 0.0
    evidence: str = ""
    why_not: str = ""
    recovered_s: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it had an effect."""
        return bool(self.evidence)


@dataclass(slots=True)
class Verdict:
    """Whether every acknowledged record is there once.

    Attributes:
        events: acknowledged records.
        rows, dead_letters: what was found of them.
        lost: places with neither, and figures of the marts that differ from the truth.
        duplicated: rows and letters too many.
        differences: the first of them, and everything else that is wrong, in words.
    """

    events: int = 0
    rows: int = 0
    dead_letters: int = 0
    lost: int = 0
    duplicated: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Nothing is lost, doubled or otherwise wrong."""
        return not (self.lost or self.duplicated or self.differences)


@dataclass(slots=True)
class Outcome:
    """One run.

    Attributes:
        faults: every fault, in the order of their beginnings.
        verdict: of rows, dead letters and marts against the generator's truth.
        audit: what `etl audit` said; `audit_exact` whether it was content.
        ended_by_themselves: processes that ended and that nobody had ended; none may.
        failures: what else failed the run, such as a fault without recovery.
        lag_median_s: over the whole run.
        seconds: of the whole run, from the first fault to the verdict.
    """

    seed: int
    faults: list[FaultRecord] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    audit: str = ""
    audit_exact: bool = False
    ended_by_themselves: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    lag_median_s: float = 0.0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        wrong = self.failures or self.ended_by_themselves
        return self.verdict.exact and self.audit_exact and not wrong

    def counted(self) -> Counter[str]:
        """Kinds and how many faults of each had an effect."""
        return Counter(fault.kind for fault in self.faults if fault.counts)
