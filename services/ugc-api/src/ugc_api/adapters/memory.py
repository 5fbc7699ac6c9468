"""The sink of tests: it keeps records in memory and fails as told."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ugc_api.ports import Record, SinkUnavailable


class MemorySink:
    """Keeps what is published in `records`.

    Attributes:
        records: every acknowledged record, in order.
        capacity: how many records it still acknowledges; None for any number.
        held: while this is cleared, publishing waits for it, up to its deadline.
        defect: what `broken` says.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.capacity: int | None = None
        self.defect: str | None = None
        self.held = threading.Event()
        self.held.set()
        self._lock = threading.Lock()

    def publish(self, records: Sequence[Record], deadline_s: float) -> None:
        """See EventSink."""
        if not self.held.wait(deadline_s):
            raise SinkUnavailable("timed_out")
        with self._lock:
            taken = len(records) if self.capacity is None else min(self.capacity, len(records))
            self.records += records[:taken]
            if self.capacity is not None:
                self.capacity -= taken
        if taken < len(records):
            raise SinkUnavailable("refused", acknowledged=taken)

    def not_ready(self) -> str | None:
        """See EventSink."""
        return "it takes no more records" if self.capacity == 0 else None

    def broken(self) -> str | None:
        """See EventSink."""
        return self.defect

    def close(self, timeout_s: float) -> int:
        """See EventSink."""
        del timeout_s
        return 0
