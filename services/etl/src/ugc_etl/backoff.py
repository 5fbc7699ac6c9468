"""How long to wait before the next try, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling delays with jitter, so that consumers do not return all at once.

    Attributes:
        first_s: the longest delay after the first failure.
        most_s: no delay is longer.
    """

    first_s: float = 0.2
    most_s: float = 15.0

    def delay_s(self, failures: int, random: float) -> float:
        """The delay after that many failures in a row (1 or more), for `random` in [0, 1)."""
        whole = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 32))
        return whole * (0.5 + random / 2)
