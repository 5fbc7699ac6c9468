"""What is held of one partition: the batch that grows, those that wait, the one in flight."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from ugc_etl.batch import Batch, BatchPolicy, OpenBatch
from ugc_etl.decode import Decoded
from ugc_etl.delivery import Delivery
from ugc_etl.ports import RefusedError
from ugc_etl.records import Partition

_MAX_WAITING = 2


@dataclass(slots=True)
class Flight:
    """The batch in flight.

    Attributes:
        delivery: the batch and how far it is.
        attempt: the running attempt; None while a delay passes, or when it is delivered.
        delivered: all is done but the commit.
        failures: unknown outcomes in a row.
        retry_at_s: when the delay is over, by the loop's clock.
    """

    delivery: Delivery
    attempt: Future[None] | None = None
    delivered: bool = False
    failures: int = 0
    retry_at_s: float = 0.0


@dataclass(slots=True)
class Lane:
    """One owned partition.

    Attributes:
        partition: which.
        policy: how its batches are cut.
        done: every record before this offset is delivered and committed.
        next_offset: no record before this may come.
        waiting: batches that are cut and cannot go yet: one is in flight at a time.
        flight: the batch in flight.
        paused: whether the source was told to stop reading it.
    """

    partition: Partition
    policy: BatchPolicy
    done: int
    next_offset: int
    waiting: deque[Batch] = field(default_factory=deque)
    flight: Flight | None = None
    paused: bool = False
    open: OpenBatch = field(init=False)

    def __post_init__(self) -> None:
        self.drop_unsent()

    def take(self, decoded: Decoded, now_s: float) -> None:
        """Add what was read. Raises RefusedError where the source went backward."""
        offsets = decoded.places["offset"]
        if offsets[0] < self.next_offset:
            raise RefusedError(
                f"{self.partition} was read up to offset {self.next_offset - 1} and then again "
                f"from {offsets[0]}: going on would insert records twice"
            )
        self.waiting.extend(self.open.add(decoded, now_s))
        self.next_offset = int(offsets[-1]) + 1

    def next_batch(self, now_s: float, age_s: float) -> Batch | None:
        """The batch to send now, if there is one and none is in flight."""
        if self.flight is not None:
            return None
        if self.waiting:
            return self.waiting.popleft()
        return self.open.close() if self.open.is_due(now_s, age_s) else None

    def drop_unsent(self) -> None:
        """Forget what is not in flight: it is read again by whoever owns the partition next."""
        self.open = OpenBatch(self.partition, self.policy)
        self.waiting.clear()

    @property
    def is_busy(self) -> bool:
        """Whether it has records that are not delivered: what is idle makes no inserts."""
        return bool(len(self.open) or self.waiting or self.flight)

    @property
    def is_full(self) -> bool:
        """Whether reading should wait: the sink is slower than the source, or fails."""
        return len(self.waiting) >= _MAX_WAITING or bool(self.flight and self.flight.failures)

    @property
    def held_bytes(self) -> int:
        """About how much memory the records take."""
        batches = list(self.waiting)
        if self.flight is not None:
            batches.append(self.flight.delivery.batch)
        return self.open.held_bytes + sum(batch.held_bytes for batch in batches)
