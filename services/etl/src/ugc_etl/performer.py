"""Performs the actions of courses that ask ClickHouse. Runs in threads."""

from __future__ import annotations

from ugc_etl.delivery import Deliverer, Delivery
from ugc_etl.ports import DataRefusedError, LetterBox, Tables, TooLateError
from ugc_etl.protocol.actions import Cancel, Deliver, ReadBack, RebuildMarts, Survey
from ugc_etl.protocol.facts import Delivered, Fact, Performed, Refusal, Refused
from ugc_etl.records import Partition

Slow = Deliver | ReadBack | Survey | Cancel | RebuildMarts
"""The actions that take time and need not be done by the loop."""


class Performer:
    """Shared by the threads."""

    def __init__(self, *, deliverer: Deliverer, tables: Tables, letter_box: LetterBox) -> None:
        self._deliverer = deliverer
        self._tables = tables
        self._letter_box = letter_box

    def deliver(self, delivery: Delivery) -> Fact:
        """Perform Deliver. Raises OutcomeUnknownError, RefusedError."""
        try:
            self._deliverer.deliver(delivery)
        except TooLateError as error:
            return Refused(Refusal.LATE, str(error))
        except DataRefusedError as error:
            return Refused(Refusal.DATA, str(error))
        return Delivered()

    def ask(self, partition: Partition, action: ReadBack | Survey | Cancel | RebuildMarts) -> Fact:
        """Perform one of the others. Raises OutcomeUnknownError, RefusedError."""
        family = self._deliverer.route(partition).family
        match action:
            case ReadBack():
                return self._tables.read_back(family, partition, action)
            case Survey(start):
                return self._tables.survey(
                    family,
                    partition,
                    action,
                    lambda: self._letter_box.places(partition, start),
                )
            case Cancel(generation):
                self._tables.cancel(partition, generation)
            case RebuildMarts(start, end):
                self._tables.rebuild_marts(family, partition, start, end)
        return Performed()
