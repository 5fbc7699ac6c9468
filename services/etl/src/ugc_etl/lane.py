"""What is held of one partition: its course, and the records from where the course stands on."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from ugc_etl.batch import MAX_BATCH_ROWS, Batch, BatchPolicy, OpenBatch
from ugc_etl.decode import Decoded
from ugc_etl.delivery import Delivery, part_of
from ugc_etl.ports import RefusedError
from ugc_etl.protocol import Course, Intent, Ranges
from ugc_etl.protocol.actions import Action
from ugc_etl.protocol.facts import Fact
from ugc_etl.records import Partition

_WHOLE = BatchPolicy(max_rows=MAX_BATCH_ROWS, max_bytes=1 << 40)
"""Cuts nothing: the records of an intent that is taken over were cut by who declared it."""


@dataclass(slots=True)
class Lane:
    """One owned partition.

    Attributes:
        partition: which.
        policy: how its batches are cut.
        course: the protocol's state.
        started_at: where reading began.
        next_offset: no record before this may come.
        shard: the one that its batches go to.
        taken_over_end: the end of the intent that was found; records before it are one batch.
        waiting: batches that are cut and cannot go yet: one is in flight at a time.
        flight: the batch whose intent is declared, or about to be.
        delivery: of the declared intent.
        landed: what was delivered and is not committed yet.
        task: the action that runs in a thread.
        action: which one that is.
        failures: unknown outcomes in a row.
        retry_at_s: when the delay after them is over, by the loop's clock.
        paused: whether the source was told to stop reading it.
        hurried: whether its batches are cut at once, since there is no memory for larger ones.
        resting: whether its course, asked last, had nothing to do until there is a batch.
    """

    partition: Partition
    policy: BatchPolicy
    course: Course
    started_at: int
    next_offset: int
    shard: int = 0
    taken_over_end: int = 0
    waiting: deque[Batch] = field(default_factory=deque)
    flight: Batch | None = None
    delivery: Delivery | None = None
    landed: Delivery | None = None
    task: Future[Fact] | None = None
    action: Action | None = None
    failures: int = 0
    retry_at_s: float = 0.0
    paused: bool = False
    hurried: bool = False
    resting: bool = False
    open: OpenBatch = field(init=False)
    _taken_over: OpenBatch = field(init=False)

    def __post_init__(self) -> None:
        self._taken_over = OpenBatch(self.partition, _WHOLE)
        self.drop_unsent()

    def take(self, decoded: Decoded, now_s: float) -> None:
        """Add what was read. Raises RefusedError where the source went backward."""
        offsets = decoded.places["offset"]
        if offsets[0] < self.next_offset:
            raise RefusedError(
                f"{self.partition} was read up to offset {self.next_offset - 1} and then again "
                f"from {offsets[0]}: going on would insert records twice"
            )
        self.next_offset = int(offsets[-1]) + 1
        of_intent = int((offsets < self.taken_over_end).sum())
        if of_intent:
            self.waiting.extend(self._taken_over.add(decoded.between(0, of_intent), now_s))
        if of_intent < len(decoded):
            rest = decoded.between(of_intent, len(decoded))
            self.waiting.extend(self.open.add(rest, now_s))

    def has(self, start: int, end: int) -> bool:
        """Whether all records of [start, end) are held; makes them the flight if so."""
        if self.flight is not None and self.flight.start <= start and end <= self.flight.end:
            return True
        # The last record of an intent is right before its end.
        if self.next_offset < end or not len(self._taken_over):
            return False
        self.flight = self._taken_over.close()
        return True

    def next_batch(self, now_s: float, age_s: float) -> Batch | None:
        """The batch to declare now, if there is one; the course must want it."""
        self._put_back()
        while self.waiting and self.waiting[0].end <= self.course.offset:
            self.waiting.popleft()
        if self.waiting:
            batch = self.waiting.popleft()
        elif self._is_due(now_s, age_s):
            batch = self.open.close()
        else:
            return None
        if batch.end <= self.course.offset:
            return None
        if batch.start < self.course.offset:
            batch = part_of(batch, self.course.offset, batch.end)
        self.flight = batch
        return batch

    def fit(self, intent: Intent) -> None:
        """Make the flight exactly the intent's; what is behind it waits."""
        flight = self.flight
        if flight is None:
            raise AssertionError(f"{self.partition}: no records of {intent}")
        if intent.end < flight.end:
            self.waiting.appendleft(part_of(flight, intent.end, flight.end))
        if (flight.start, flight.end) != (intent.start, intent.end):
            self.flight = part_of(flight, intent.start, intent.end)

    def deliver(self, intent: Intent, skip: Ranges) -> Delivery:
        """The delivery of the declared intent, as far as it has come."""
        if self.delivery is None or self.delivery.intent != intent:
            if self.flight is None:
                raise AssertionError(f"{self.partition}: no records of {intent}")
            self.delivery = Delivery(intent, self.flight, skip)
        return self.delivery

    def delivered(self) -> None:
        """The flight is through."""
        self.landed, self.delivery, self.flight = self.delivery, None, None

    def drop_unsent(self) -> None:
        """Forget what is not in flight: it is read again by whoever owns the partition next."""
        self.open = OpenBatch(self.partition, self.policy)
        self.waiting.clear()

    def _is_due(self, now_s: float, age_s: float) -> bool:
        return self.open.is_due(now_s, 0.0 if self.hurried else age_s)

    def _put_back(self) -> None:
        """What was held for an intent that is settled comes first again, unless it is done."""
        if len(self._taken_over):
            self.waiting.appendleft(self._taken_over.close())
        # Records of it that are still to come are cut like any others.
        self.taken_over_end = 0
        if self.flight is not None:
            self.waiting.appendleft(self.flight)
            self.flight = self.delivery = None

    @property
    def is_busy(self) -> bool:
        """Whether it has records that are not delivered: what is idle makes no inserts."""
        return bool(len(self.open) or self.waiting or self.flight)

    def may_go_on(self, now_s: float, age_s: float) -> bool:
        """Whether it is worth while to ask its course; a mark that grows old may wait a while."""
        return not self.resting or bool(self.waiting) or self._is_due(now_s, age_s)

    @property
    def awaits_records(self) -> bool:
        """Whether records of an intent that was taken over are still to be read."""
        return self.next_offset < self.taken_over_end

    @property
    def has_taken_over(self) -> bool:
        """Whether it holds all records of an intent that was taken over and is not through."""
        return 0 < self.taken_over_end <= self.next_offset

    @property
    def held_bytes(self) -> int:
        """About how much memory the records take."""
        held_bytes = self.open.held_bytes + self._taken_over.held_bytes
        for batch in self.waiting:
            held_bytes += batch.held_bytes
        return held_bytes if self.flight is None else held_bytes + self.flight.held_bytes
