"""What can go wrong in a world, each by a switch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazards:
    """Switches; the numbers are those of the rules in docs/delivery-semantics.md.

    Attributes:
        crashes: consumers are killed and started again.
        stops: consumers stop between any two steps and go on later (zombies).
        delays: requests take long to arrive, also those of consumers that are dead.
        lost_replies: requests and replies get lost.
        duplicates: an insert arrives twice.
        rebalances: partitions move between live consumers.
        clickhouse_restarts: running inserts vanish, what was acknowledged stays.
        slow_commits: an insert that passed the constraint commits at any later time.
        views_fail: a materialized view throws, before or after the rows are in; or it has the rows
            and the table has not.
        poison: records that ClickHouse refuses.
        bad_records: records that the old decoder cannot take.
        decoder_changes: consumers restart with another decoder.
        shard_changes: consumers restart with another number of shards.
        retention: Kafka deletes records, read or not.
        topics_made_anew: the topic is deleted and made again.
        marks_expire: the group's offsets are deleted.
        marks_set_back: an older commit takes the place of a newer one.
        foreign_commits: a tool commits without metadata.
        erasure: a viewer is erased.
        expiry: the tables' TTL drops rows.
        skewed_clocks: of ClickHouse, Kafka and each consumer.
    """

    crashes: bool = True
    stops: bool = True
    delays: bool = True
    lost_replies: bool = True
    duplicates: bool = True
    rebalances: bool = True
    clickhouse_restarts: bool = True
    slow_commits: bool = True
    views_fail: bool = True
    poison: bool = True
    bad_records: bool = True
    decoder_changes: bool = True
    shard_changes: bool = True
    retention: bool = True
    topics_made_anew: bool = True
    marks_expire: bool = True
    marks_set_back: bool = True
    foreign_commits: bool = True
    erasure: bool = True
    expiry: bool = True
    skewed_clocks: bool = True

    @classmethod
    def none(cls) -> Hazards:
        """Everything works."""
        return cls(**dict.fromkeys(cls.names(), False))

    @classmethod
    def only(cls, *names: str) -> Hazards:
        """These and no others."""
        return replace(cls.none(), **dict.fromkeys(names, True))

    @classmethod
    def names(cls) -> list[str]:
        """Every switch."""
        return [field.name for field in fields(cls)]
