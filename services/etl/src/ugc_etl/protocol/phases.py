"""Where a course stands. One action belongs to each phase, but for the waits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ugc_etl.protocol.intent import Intent, Mark


@dataclass(frozen=True, slots=True)
class Idle:
    """All before the mark is done and nothing is in flight."""


@dataclass(frozen=True, slots=True)
class Checking:
    """Taken over: does the table agree with the mark?"""


@dataclass(frozen=True, slots=True)
class Declaring:
    """A commit is asked for until it is acknowledged."""

    mark: Mark
    reason: str


@dataclass(frozen=True, slots=True)
class Delivering:
    """The intent is declared, its records are held."""

    intent: Intent
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Completing:
    """All before `end` is done, the commit that says so is not asked for yet."""

    end: int


class Doubt(StrEnum):
    """Why an intent must be settled before anything else."""

    UNKNOWN = "its deadline came before an acknowledgement"
    REFUSED = "ClickHouse refused it whole"
    GONE = "Kafka has deleted records of it"


@dataclass(frozen=True, slots=True)
class Settling:
    """Did the intent land? It is asked when it cannot land any more, not before `until_s`."""

    intent: Intent
    doubt: Doubt
    until_s: float


@dataclass(frozen=True, slots=True)
class Fetching:
    """The records of the intent are read again: to send it again, or, settled, to replace it."""

    intent: Intent
    settled: bool


@dataclass(frozen=True, slots=True)
class Surveying:
    """What covers the places from the mark on?

    Attributes:
        quiet_at_s: the answer counts only after this, by the server's clock; None for the first
            look where there is no mark, which counts if it finds nothing at all.
        until_s: when to ask, by our estimate of that clock.
        why: in words.
    """

    quiet_at_s: float | None
    until_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Cancelling:
    """Inserts that should not run any more are killed."""

    then: Checking | Settling | Surveying


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """The marts get again what landed without an acknowledgement: of an intent, or of many."""

    start: int
    end: int
    then: Intent | Completing


@dataclass(frozen=True, slots=True)
class Skipping:
    """Gaps are reported, then all before `offset` is done."""

    gaps: tuple[tuple[int, int], ...]
    offset: int
    then: Completing | Rebuilding | Fetching


@dataclass(frozen=True, slots=True)
class Stopped:
    """A person must look."""

    sentence: str


Phase = (
    Idle
    | Checking
    | Declaring
    | Delivering
    | Completing
    | Settling
    | Fetching
    | Surveying
    | Cancelling
    | Rebuilding
    | Skipping
    | Stopped
)
