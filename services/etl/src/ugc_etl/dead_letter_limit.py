"""When dead letters are no longer single bad records, but a sign that something larger is wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """Past it the process stops, so that the records wait in Kafka.

    Attributes:
        letters: so many dead letters in one bad run are tolerated.
        share: a run goes on while more than this share of the records are dead letters.
    """

    letters: int = 1000
    share: float = 0.5


class BadRun:
    """Counts the records of a partition since the share of dead letters was last in order."""

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._records = 0
        self._letters = 0

    def exceeds(self, records: int, letters: int) -> bool:
        """Count a batch; whether the limit is passed with it."""
        self._records += records
        self._letters += letters
        if self._letters <= self._limit.share * self._records:
            self._records = self._letters = 0
        return self._letters > self._limit.letters
