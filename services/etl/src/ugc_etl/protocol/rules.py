"""The rules of exactly-once, each by itself, so that a test can take one away.

The numbers in brackets are those of the rules in docs/delivery-semantics.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from ugc_etl.protocol.facts import Evidence, Surveyed
from ugc_etl.protocol.intent import Intent, Mark, shard_of
from ugc_etl.records import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Durations of the protocol, in seconds.

    Attributes:
        deadline_s: from declaring an intent to its deadline. ClickHouse must remember tokens for
            longer than this and the greatest difference between clocks.
        hunt_deadline_s: the same for intents that hunt a record at fault.
        margin_s: nothing is sent when less than this is left; at most a quarter of the deadline.
        fence_s: the dead-letter topic takes letters for so long after their deadline
            (`message.timestamp.before.max.ms`), plus what Kafka's clock may be behind.
        refresh_s: the mark of an idle partition is committed so often, lest it expire.
    """

    deadline_s: int = 60
    hunt_deadline_s: int = 4
    margin_s: float = 5.0
    fence_s: float = 10.0
    refresh_s: float = 3600.0


class Rules:
    """What may be done when."""

    def __init__(self, *, timing: Timing, decoder: str, shards: int, generation: int = 0) -> None:
        """`decoder` is the version of ours; `shards` how many the tables have now."""
        self.timing = timing
        self.decoder = decoder
        self.shards = shards
        self.generation = generation

    # Marks.

    def is_of_this_life(self, mark: Mark, partition: Partition) -> bool:
        """[R6] A mark of another topic id speaks of other offsets."""
        return mark.topic_id == partition.topic_id

    def asks_the_table_first(self) -> bool:
        """[R7] A missing mark does not mean that nothing was done."""
        return True

    def is_of_our_decoder(self, mark: Mark) -> bool:
        """[R11] Another decoder makes other rows and letters of the same records."""
        return mark.decoder == self.decoder and (
            mark.intent is None or mark.intent.decoder == self.decoder
        )

    def was_truncated(self, mark: Mark, end: int) -> bool:
        """[R19] A log that ends before what was read has lost records: offsets come again."""
        return end < (mark.intent.end if mark.intent else mark.offset)

    def may_have_been_set_back(self, mark: Mark, end: int) -> bool:
        """[R8] What was done behind a mark was read there: nothing was, where the log ends."""
        return mark.intent is not None or end > mark.offset

    def must_refresh(self, committed_at_s: float, now_s: float) -> bool:
        """[R7] Whether the mark of an idle partition is due."""
        return now_s - committed_at_s >= self.timing.refresh_s

    # Sending.

    def insert_by_s(self, now_s: float, *, hunting: bool) -> int:
        """[R2] The deadline of an intent that is declared now."""
        timing = self.timing
        return int(now_s) + (timing.hunt_deadline_s if hunting else timing.deadline_s)

    def may_send(self, intent: Intent, now_s: float, *, hunting: bool) -> bool:
        """[R2] Whether there is enough time left to send or to send again, under one token."""
        timing = self.timing
        span_s = timing.hunt_deadline_s if hunting else timing.deadline_s
        return now_s < intent.insert_by_s - min(timing.margin_s, span_s / 4)

    def shard_of(self, partition: Partition) -> int:
        """The shard of a new intent. One declared earlier keeps its own."""
        return shard_of(partition, self.shards)

    # Settling.

    def settles_at_s(self, intent: Intent) -> float:
        """[R1] When a read-back is worth asking, by our estimate of the server's clock."""
        return intent.insert_by_s + 1.0

    def is_over(self, intent: Intent, server_now_s: float) -> bool:
        """[R1] Whether no insert of it can pass any more: the constraint knows whole seconds."""
        return int(server_now_s) > intent.insert_by_s

    def may_still_land(self, evidence: Evidence | Surveyed) -> bool:
        """[R1] An insert that passed the constraint in time may commit late."""
        return evidence.running

    def has_landed(self, evidence: Evidence, intent: Intent) -> bool:
        """[R9] Any row proves it: one block, one part. Erasure may have taken the others."""
        return evidence.rows > 0

    def was_set_back(self, evidence: Evidence) -> bool:
        """[R8] Rows that the mark does not know of: it is older than what was done."""
        return evidence.others

    def settles_before_recutting(self) -> bool:
        """[R1] A refusal does not mean that nothing landed."""
        return True

    def next_attempt(self, intent: Intent) -> int:
        """[R1] A declaration that replaces another has a token of its own."""
        return intent.attempt + 1

    def rebuilds_marts(self) -> bool:
        """[R16] What landed without an acknowledgement may have missed its marts."""
        return True

    # Recovering.

    def quiet_after_s(self, server_now_s: float) -> float:
        """[R7] When every deadline of an intent that nobody knows of has passed."""
        return server_now_s + self.timing.deadline_s + 1 + self.timing.fence_s

    def unknown_decoder_quiet_after_s(self, intent: Intent) -> float:
        """[R11] When neither rows nor letters of another decoder's intent can come."""
        return intent.insert_by_s + 1 + self.timing.fence_s

    def recovery_attempt(self, surveyed: Surveyed, declared: Intent | None) -> int:
        """[R7] Above all that were seen."""
        return max(surveyed.attempt, declared.attempt if declared else -1) + 1
