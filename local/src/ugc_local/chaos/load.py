"""A steady load, straight to Kafka: what counts as true is what the broker acknowledged."""

from __future__ import annotations

import time

from ugc_local.background import BackgroundWork
from ugc_local.chaos.recipe import Recipe
from ugc_local.chaos.truth import Truth
from ugc_local.kafka.client import KafkaClient, KafkaClientError

_TICK_S = 0.02
_LAST_ANSWERS_S = 60.0


class Load(BackgroundWork):
    """Writes the recipe's records at their pace, in a thread, until the block ends or stop().

    It uses the API's own codec but not the API, whose processes would take a core from what is
    under test. A broker that is away is waited for; nothing is left out.
    """

    def __init__(self, client: KafkaClient, recipe: Recipe, prefix: str = "") -> None:
        self.truth = Truth()
        self.written = 0
        self._recipe = recipe
        self._prefix = prefix
        self._writer = client.writer(
            lambda number, place: self.truth.put(number, place, time.monotonic())
        )
        self._failure: KafkaClientError | None = None
        super().__init__("load")

    @property
    def waiting(self) -> int:
        """Records without an answer so far."""
        return self.written - self.truth.acknowledged - len(self.truth.unknown)

    def stop(self) -> None:
        """Write no more, and wait for the last answers.

        Raises the KafkaClientError that ended it before, if one did.
        """
        self._end()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            start_s = time.monotonic()
            while not self._stopped.wait(_TICK_S):
                due = int((time.monotonic() - start_s) * self._recipe.per_s)
                while self.written < due and not self._stopped.is_set():
                    made = self._recipe.record(self.written)
                    topic = made.family.topic_of(self._prefix)
                    self._writer.write(self.written, topic, made.key, made.value)
                    self.written += 1
                self._writer.poll()
            self._writer.close(_LAST_ANSWERS_S)
        except KafkaClientError as error:
            self._failure = error
