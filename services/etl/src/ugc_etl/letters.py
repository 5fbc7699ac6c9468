"""The dead-letter topic as the protocol asks it: which places have a letter."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ugc_events import DeadLetter, Reason

from ugc_etl.operations.evidence import letters_by_partition
from ugc_etl.operations.ports import KafkaLog, StoredRecord
from ugc_etl.protocol import Ranges
from ugc_etl.records import Partition


class TopicLetterBox:
    """A LetterBox over the whole topic, which one thread at a time reads for all that wait."""

    def __init__(self, kafka: KafkaLog, topic: str, wall_s: Callable[[], float]) -> None:
        """`topic` is the dead-letter topic with the deployment's prefix."""
        self._kafka = kafka
        self._topic = topic
        self._wall_s = wall_s
        self._lock = threading.Lock()
        self._passes_begun = 0
        self._places: dict[tuple[str, int], Ranges] = {}

    def places(self, partition: Partition, start: int) -> Ranges:
        """Read the topic to its end, unless a pass that began after this call has done so."""
        wanted = self._passes_begun + 1
        with self._lock:
            if self._passes_begun < wanted:
                self._passes_begun += 1
                self._places = letters_by_partition(self._kafka, self._topic)
            found = self._places.get((partition.topic_id, partition.number), Ranges())
            return found.within(start, found.end)

    def letter(self, partition: Partition, offset: int, detail: str) -> DeadLetter | None:
        """Read that record again."""
        with self._lock:
            for record in self._kafka.read(partition, offset, offset + 1):
                if record.offset == offset:
                    return refused_letter(partition, record, detail, int(self._wall_s() * 1000))
        return None


def refused_letter(
    partition: Partition, record: StoredRecord, detail: str, now_ms: int
) -> DeadLetter:
    """The letter of a record whose row the store refuses."""
    return DeadLetter(
        topic=partition.topic,
        topic_id=partition.topic_id,
        partition=partition.number,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
        timestamp_ms=record.timestamp_ms,
        field="",
        reason=Reason.REFUSED_BY_STORE,
        detail=detail,
        first_seen_ms=now_ms,
    )
