"""What the API needs of the log that it writes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """One Kafka record.

    Attributes:
        topic: with the deployment's prefix.
        key: chooses the partition.
        value: the encoded event.
        timestamp_ms: the record's timestamp, ms since the epoch.
        headers: name and content.
    """

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()


class SinkUnavailable(Exception):  # noqa: N818  # a state of the world, not a mistake
    """Not every record was acknowledged; the caller may repeat all of them later.

    Records that were not acknowledged may still arrive.

    Attributes:
        cause: a short fixed word for metrics, such as `timed_out` or `queue_full`.
        acknowledged: how many of the records are known to be stored.
        retry_after_s: when to try again, in seconds.
    """

    def __init__(self, cause: str, *, acknowledged: int = 0, retry_after_s: int = 2) -> None:
        super().__init__(f"{cause}, {acknowledged} acknowledged")
        self.cause = cause
        self.acknowledged = acknowledged
        self.retry_after_s = retry_after_s


class EventSink(Protocol):
    """Where events go. Safe for many threads at once."""

    def publish(self, records: Sequence[Record], deadline_s: float) -> None:
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
