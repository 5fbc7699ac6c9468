"""What the offset log says of a partition: how far it is done, and what may be in flight."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ugc_etl.records import Partition


class Kind(StrEnum):
    """What is done with the records of an intent."""

    NORMAL = "normal"
    """Every record becomes a row, a dead letter or an entry of the erasure ledger."""
    RECOVERY = "recovery"
    """The same for the records whose places nothing covers yet; the others are left alone."""
    REJECT = "reject"
    """The one record becomes a dead letter, because the store refuses its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The declaration that [start, end) is about to be inserted.

    Attributes:
        start, end: the offsets; `start` is the offset of the mark that carries the intent.
        attempt: 0, or one more than that of an intent that is known never to land.
        shard: which shard the rows go to, from 0.
        table: qualified name of the table that takes them.
        decoder: version of the decoder that made the block.
        insert_by_s: no insert of this intent passes the table's constraint after this second, by
            ClickHouse's clock since the epoch; no dead letter of it passes the topic's.
        kind: what is done with the records.
        generation: 0, or the number of the replay.
    """

    start: int
    end: int
    attempt: int
    shard: int
    table: str
    decoder: str
    insert_by_s: int
    kind: Kind = Kind.NORMAL
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A committed offset with its metadata.

    Attributes:
        topic_id: of the life of the topic whose offsets are meant.
        offset: every record before it is a row, a dead letter, erased, or a reported gap.
        decoder: version of the decoder of whoever committed it.
        intent: what may be in flight from here on.
        recover_until: places before it may be covered although they are at or after the mark.
        hunt_until: the end of a batch that ClickHouse refused whole and that is being recut.
    """

    topic_id: str
    offset: int
    decoder: str
    intent: Intent | None = None
    recover_until: int | None = None
    hunt_until: int | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A committed offset whose metadata is not ours.

    Attributes:
        offset: the offset.
        sentence: what is wrong with the metadata.
    """

    offset: int
    sentence: str


def shard_of(partition: Partition, shards: int) -> int:
    """The shard that takes the rows of a partition, of so many shards."""
    return partition.number % shards


def insert_token(partition: Partition, intent: Intent) -> str:
    """`topic_id:partition:start-end:table:generation:attempt`.

    ClickHouse believes the token before the content, so everything that makes two inserts
    different is in it: a topic made anew starts its offsets again (topic id), a replay is meant
    to land again (generation), a batch cut anew has other rows (start, end, attempt).
    """
    return (
        f"{partition.topic_id}:{partition.number}:{intent.start}-{intent.end}"
        f":{intent.table}:{intent.generation}:{intent.attempt}"
    )
