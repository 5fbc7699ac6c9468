"""The hunt for the records at fault of a batch that ClickHouse refused whole."""

from __future__ import annotations

from dataclasses import dataclass

from ugc_etl.protocol.intent import Intent


@dataclass(frozen=True, slots=True)
class Hunt:
    """Halves what is refused and doubles after what was taken, from left to right.

    Attributes:
        until: the end of the batch that was refused first; the hunt ends there.
        size: how many offsets the next intent spans at the most.
        attempt: of the next intent.
        condemned: the offset of a record that was refused all by itself.
    """

    until: int
    size: int
    attempt: int
    condemned: int | None = None

    @classmethod
    def begin(cls, refused: Intent, attempt: int, under_way: Hunt | None) -> Hunt:
        """After `refused` was settled: nothing of it landed or ever will."""
        until = max(refused.end, under_way.until if under_way else 0)
        span = refused.end - refused.start
        condemned = refused.start if span == 1 else None
        return cls(until, max(1, span // 2), attempt, condemned)

    def condemns(self, offset: int) -> bool:
        """Whether the record at `offset` becomes a dead letter."""
        return offset == self.condemned

    def clamp(self, start: int, end: int) -> int:
        """Where an intent from `start` ends, that would end at `end` otherwise."""
        return min(end, start + self.size, self.until)

    def succeeded(self, intent: Intent) -> Hunt | None:
        """After `intent` was taken; None when the hunt is over."""
        if intent.end >= self.until:
            return None
        return Hunt(self.until, 2 * self.size, intent.attempt)
