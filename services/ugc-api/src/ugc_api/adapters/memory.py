"""The sink of tests: it keeps records in memory and fails as told."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from ugc_api.ports import Batch, SinkUnavailable


class Stored(NamedTuple):
    """A record as Kafka would hold it; see `Batch`."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


class MemorySink:
    """Keeps what is published in `records`.

    Attributes:
        records: every acknowledged record, in order.
        capacity: how many records it still acknowledges; None for any number.
        refused: values that it never acknowledges.
        held: while this is cleared, publishing waits for it, up to its deadline.
        defect: what `broken` says.
    """

    def __init__(self) -> None:
        self.records: list[Stored] = []
        self.capacity: int | None = None
        self.refused: set[bytes] = set()
        self.defect: str | None = None
        self.held = threading.Event()
        self.held.set()
        self._lock = threading.Lock()

    def publish(self, batch: Batch, deadline_s: float) -> None:
        """See EventSink."""
        if not self.held.wait(deadline_s):
            raise SinkUnavailable("timed_out")
        stored = []
        with self._lock:
            for place, (topic, key, value) in enumerate(batch.records):
                if value in self.refused or self.capacity == 0:
                    continue
                if self.capacity is not None:
                    self.capacity -= 1
                self.records.append(Stored(topic, key, value, batch.timestamp_ms, batch.headers))
                stored.append(place)
        if len(stored) < len(batch.records):
            raise SinkUnavailable("refused", stored=stored)

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
