"""What happened: the inputs of a course."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ugc_etl.protocol.intent import Foreign, Mark
from ugc_etl.protocol.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Assigned:
    """The partition is ours.

    Attributes:
        found: its mark, read after it became ours; None where there is none.
        earliest: the first offset that Kafka still has.
        end: the offset behind its last stable record, asked after the mark.
    """

    found: Mark | Foreign | None
    earliest: int
    end: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Records up to `end` are held and should go next; only while the course wants a batch."""

    end: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit was acknowledged. One of unknown outcome is no fact: it is asked for again."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Dead letters and rows were acknowledged."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """Whether the delivery happened is unknown."""


class Refusal(StrEnum):
    """Why a delivery was refused."""

    DATA = "data"
    """ClickHouse says that something is wrong with the rows."""
    LATE = "late"
    """The deadline has passed."""
    OTHER = "other"
    """Rights, schema, or what nobody has foreseen: a person must look."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The store's answer to the delivery is no. That nothing landed does not follow."""

    why: Refusal
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The answer to a read-back, its parts read in this order.

    Attributes:
        server_now_s: the server's own clock.
        running: whether an insert of this partition still runs.
        rows: how many rows of its own the intent has.
        others: whether there are others at or after its start, where none should be yet.
    """

    server_now_s: float
    running: bool
    rows: int
    others: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """The answer to a survey, its parts read in this order.

    Attributes:
        server_now_s: the server's own clock.
        running: whether an insert of this partition still runs.
        covered: the places from the start of the survey on that have a row on any shard, a dead
            letter, or an entry of the erasure ledger.
        attempt: the highest attempt among the rows; -1 without rows.
    """

    server_now_s: float
    running: bool
    covered: Ranges
    attempt: int = -1


@dataclass(frozen=True, slots=True)
class Held:
    """The records that were asked for are held."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Kafka has only records from `earliest` on, and not all that were asked for or come next."""

    earliest: int


@dataclass(frozen=True, slots=True)
class Performed:
    """The action without an answer (Cancel, RebuildMarts, Skip) was acknowledged."""


Fact = (
    Assigned
    | Cut
    | Committed
    | Delivered
    | Unsure
    | Refused
    | Evidence
    | Surveyed
    | Held
    | Gone
    | Performed
)
