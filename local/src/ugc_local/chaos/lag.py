"""How far the group is behind, in seconds, all the time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress

from ugc_local.background import BackgroundWork
from ugc_local.chaos.truth import TopicPartition, Truth
from ugc_local.kafka.client import KafkaClient, KafkaClientError

_EVERY_S = 0.3
_ANSWER_S = 2.0
RECOVERED_S = 1.0
"""A lag below this counts as none."""


class LagWatch(BackgroundWork):
    """Asks the broker what the group has committed, in a thread, until the block ends.

    The lag is how long the oldest acknowledged record has waited whose place is not behind the
    committed offset; infinite while the broker does not answer.
    """

    def __init__(self, client: KafkaClient, group: str, truth: Truth) -> None:
        self.samples: list[tuple[float, float]] = []
        self._positions = client.positions(group)
        self._truth = truth
        super().__init__("lag")

    def recovered_at_s(self, since_s: float) -> float | None:
        """When the lag was small for the first time after that moment; None: not yet."""
        for at_s, lag_s in self.samples:
            if at_s >= since_s and lag_s < RECOVERED_S:
                return at_s
        return None

    def is_recovered(self) -> bool:
        """Whether the lag is small now."""
        return bool(self.samples) and self.samples[-1][1] < RECOVERED_S

    def median_s(self) -> float:
        """Of all samples."""
        ordered = sorted(lag_s for _, lag_s in self.samples)
        return ordered[len(ordered) // 2] if ordered else math.inf

    def all_done(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether the group has committed all of these ends; False while nobody answers."""
        with suppress(KafkaClientError):
            positions = self._positions.read(ends, _ANSWER_S)
            return all(positions.get(place, 0) >= end for place, end in ends.items())
        return False

    def _end(self) -> None:
        super()._end()
        self._positions.close()

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY_S):
            at_s = time.monotonic()
            try:
                positions = self._positions.read(self._truth.partitions(), _ANSWER_S)
            except KafkaClientError:
                lag_s = math.inf
            else:
                lag_s = self._truth.lag_s(positions, at_s)
            self.samples.append((at_s, lag_s))
