"""What to do next: the outputs of a course. Each says why."""

from __future__ import annotations

from dataclasses import dataclass

from ugc_etl.protocol.intent import Intent, Mark
from ugc_etl.protocol.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit the mark. Unknown outcome: the same again. Answer: Committed."""

    mark: Mark
    reason: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """Have every dead letter and ledger entry acknowledged, then send the rows, once.

    Letters carry the intent's deadline, so that the topic refuses late ones; rows carry it as
    `_insert_by`. Places in `skip` are left out. An intent of kind REJECT has a letter for every
    record and no row. Answer: Delivered, Unsure or Refused.
    """

    intent: Intent
    skip: Ranges
    reason: str


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Ask the intent's shard its clock, then which inserts of the partition run, then for rows.

    Its own rows are those on its shard of [start, end) with its attempt and its deadline; others
    are all other rows at or after `offset`, on every shard. Both of this topic id, partition and
    generation only. Without an intent, every row at or after `offset` is another. Answer: Evidence.
    """

    intent: Intent | None
    offset: int
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Ask every shard its clock, its running inserts, then all that covers places from `start` on.

    Rows of this generation. Answer: Surveyed.
    """

    start: int
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Kill every running insert of the partition and generation. Answer: Performed."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reread:
    """Read the records of [start, end) from Kafka again and hold them. Answer: Held or Gone."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class RebuildMarts:
    """Give the marts again what the rows of [start, end) make of them. Answer: Performed."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Report that Kafka has deleted records of [start, end) unread. Answer: Performed."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing before `until_s`, by ClickHouse's clock."""

    until_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Going on would be wrong: stop the process, say why, and let a person look."""

    reason: str


Action = Commit | Deliver | ReadBack | Survey | Cancel | Reread | RebuildMarts | Skip | Wait | Stop
