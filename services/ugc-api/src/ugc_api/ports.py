"""What the API needs of the log that it writes to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

Record = tuple[str, bytes, bytes]
"""Topic (with the deployment's prefix), key (chooses the partition), value (the encoded event)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one request.

    Attributes:
        records: in order.
        timestamp_ms: of each record, ms since the epoch.
        headers: of each record: name and content.
    """

    records: Sequence[Record]
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


class SinkUnavailable(Exception):  # noqa: N818  # a state of the world, not a mistake
    """Not every record was acknowledged; the caller may repeat the others later.

    Records that were not acknowledged may still arrive.

    Attributes:
        cause: a short fixed word for metrics, such as `timed_out` or `queue_full`.
        stored: the places of the records that are known to be stored.
        retry_after_s: when to try again, in seconds.
    """

    def __init__(
        self, cause: str, *, stored: Collection[int] = frozenset(), retry_after_s: int = 2
    ) -> None:
        super().__init__(f"{cause}, {len(stored)} acknowledged")
        self.cause = cause
        self.stored = frozenset(stored)
        self.retry_after_s = retry_after_s


class EventSink(Protocol):
    """Where events go. Safe for many threads at once."""

    def publish(self, batch: Batch, deadline_s: float) -> None:
        """Return when every record is stored for good.

        Raises SinkUnavailable where that has not happened within `deadline_s`, or cannot.
        Records of one key and one caller keep their order.
        """

    def not_ready(self) -> str | None:
        """Why publishing would fail now; None where nothing speaks against it. Cheap to ask."""

    def broken(self) -> str | None:
        """Why only a new process can publish again; None as a rule. Does no I/O."""

    def close(self, timeout_s: float) -> int:
        """Send what is left and let go; the number of records still not acknowledged.

        May be called twice. Nothing may be published afterwards.
        """
