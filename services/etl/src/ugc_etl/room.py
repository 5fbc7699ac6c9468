"""What may be read on, so that memory is bounded and no shard or partition takes it from others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ugc_etl.lane import Lane


@dataclass(slots=True)
class Room:
    """Memory for records that are not delivered, shared out evenly among shards.

    What a shard that is down leaves in memory is within its own share: the others go on.

    Within a share a partition is full when it holds as much as is left for all of them, so a slow
    one leaves room whatever it is sent, and one that is alone may hold half. It is read again when
    it holds a quarter of what is left, and a share that was filled when half of it is free: Kafka's
    client throws away what it has prefetched of a partition that is paused, and reads it twice.

    Attributes:
        limit_bytes: of all shares, about: a poll is read before it is counted.
    """

    limit_bytes: int
    _filled: set[int] = field(default_factory=set)

    def share_out(self, lanes: Iterable[Lane]) -> tuple[list[Lane], list[Lane]]:
        """The lanes that are to be paused now, and those to be resumed; they are marked so."""
        by_shard: dict[int, list[Lane]] = {}
        for lane in lanes:
            by_shard.setdefault(lane.shard, []).append(lane)
        pause: list[Lane] = []
        resume: list[Lane] = []
        for shard, members in by_shard.items():
            self._share_out(shard, members, self.limit_bytes / len(by_shard), pause, resume)
        return pause, resume

    def _share_out(
        self, shard: int, lanes: list[Lane], share_bytes: float, pause: list[Lane],
        resume: list[Lane],
    ) -> None:  # fmt: skip
        held = [lane.held_bytes for lane in lanes]
        left_bytes = share_bytes - sum(held)
        filled = left_bytes < (share_bytes / 2 if shard in self._filled else 0)
        (self._filled.add if filled else self._filled.discard)(shard)
        # What is taken over goes on only with all its records: one such lane is read at a time,
        # until what it holds is delivered.
        may_read = not any(lane.has_taken_over for lane in lanes)
        for lane, held_bytes in zip(lanes, held, strict=True):
            most_bytes = left_bytes / 4 if lane.paused else left_bytes
            full = filled or held_bytes > most_bytes or lane.failures > 0
            if full and may_read and lane.awaits_records:
                full = may_read = False
            # Memory for larger batches is not to be had.
            lane.hurried = filled
            if full != lane.paused:
                (pause if full else resume).append(lane)
                lane.paused = full
