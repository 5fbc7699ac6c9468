"""What a fault has at hand: whom it befalls, how to wait, and what takes it back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random

from ugc_local.chaos.consumer import Consumer
from ugc_local.chaos.link import After, Breakpoint, Link
from ugc_local.chaos.load import Load
from ugc_local.chaos.taps import Moment
from ugc_local.chaos.world import Timing, World
from ugc_local.deadline import Deadline

_POLL_S = 0.1


class NoEffectError(Exception):
    """The fault was made, or could not be, and nothing came of it: it does not count."""


@dataclass(slots=True)
class Scene:
    """One fault's own view of the world.

    Attributes:
        consumer: whom it befalls; for a fault of a store, whose insert or commit it waits for.
        chance: decides what the kind leaves open.
        cancelled: set when the run ends early; every wait ends then.
        undo: what takes the fault back; run in any case.
    """

    world: World
    load: Load
    consumer: Consumer
    chance: Random
    cancelled: threading.Event
    undo: ExitStack = field(default_factory=ExitStack)

    @property
    def timing(self) -> Timing:
        return self.world.timing

    def demand(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        """Poll until the condition holds. Raises NoEffectError when it does not in time."""
        wait = Deadline.after(within_s)
        if not wait.poll(lambda: self.cancelled.is_set() or condition(), interval_s=_POLL_S):
            raise NoEffectError(f"not within {within_s:.0f} s: {what}")
        if self.cancelled.is_set():
            raise NoEffectError("the run ended")

    def pass_time(self, seconds: float) -> None:
        """The fault lasts."""
        self.cancelled.wait(seconds)

    def link_of(self, moment: Moment) -> Link:
        """The consumer's link where the moment comes by."""
        at_clickhouse = moment.name.startswith("INSERT")
        return self.consumer.clickhouse if at_clickhouse else self.consumer.kafka

    @contextmanager
    def frozen_at(self, moment: Moment) -> Iterator[Breakpoint]:
        """The consumer's next connection that comes to the moment, frozen inside the block.

        Left without a release it is cut.
        """
        frozen = self.link_of(moment).break_at(moment)
        try:
            where = f"{self.consumer.name} comes to where {moment.value}"
            self.demand(frozen.is_hit, self.patience_s, where)
            yield frozen
        finally:
            frozen.release(After.CUT)

    @property
    def patience_s(self) -> float:
        """Long enough for a group to lose a member, settle and go on."""
        return 2 * self.timing.session_s + self.timing.insert_deadline_s + 10

    def stop_process(self) -> None:
        """SIGSTOP to the consumer; SIGCONT when the fault is taken back."""
        self.undo.callback(self.consumer.signal, signal.SIGCONT)
        self.consumer.signal(signal.SIGSTOP)

    def kill_process(self) -> None:
        """SIGKILL to the consumer; it is started again when the fault is taken back."""
        self.undo.callback(self.consumer.start)
        self.consumer.kill()

    def claim(self, consumer: Consumer) -> None:
        """Have another consumer for this fault alone, until it is taken back."""
        consumer.befallen = True

        def give_back() -> None:
            consumer.befallen = False

        self.undo.callback(give_back)

    def others(self) -> list[Consumer]:
        """Those that run beside the consumer."""
        return [other for other in self.world.running() if other is not self.consumer]

    def owned(self) -> int:
        """How many partitions the consumer owns; waits until it owns some."""
        self.demand(self.consumer.owns_some, self.patience_s, f"{self.consumer.name} owns some")
        return self.consumer.partitions()

    def wait_until_replaced(self) -> None:
        """Until the other consumers own every partition, by their own word."""

        def all_owned() -> bool:
            # Some may have come meanwhile.
            return sum(other.partitions() for other in self.others()) == self.world.partitions

        self.demand(
            all_owned, self.patience_s, f"others own the partitions of {self.consumer.name}"
        )

    def joins(self) -> int:
        """How often another than the consumer has asked to join the group."""
        others = (other for other in self.world.consumers if other is not self.consumer)
        return sum(other.kafka.passed[Moment.JOIN_SENT] for other in others)

    def wait_until_rebalancing(self, joins: int) -> None:
        """Until there were more joins: the group then waits for the consumer, too."""
        self.demand(lambda: self.joins() > joins, self.patience_s, "the group rebalances")
