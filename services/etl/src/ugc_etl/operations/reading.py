"""Reading some of a partition's records, which may lie far apart."""

from __future__ import annotations

from collections.abc import Iterator

from ugc_etl.operations.ports import KafkaLog, StoredRecord
from ugc_etl.operations.spans import neighbours
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.records import Partition


def kept_records(kafka: KafkaLog, partition: Partition, wanted: Ranges) -> Iterator[StoredRecord]:
    """The records of the wanted offsets that Kafka keeps, in order; what is near in one go."""
    for group in neighbours(wanted):
        spans = iter(group.parts)
        span = next(spans)
        for record in kafka.read(partition, group.parts[0][0], group.end):
            while record.offset >= span[1]:
                span = next(spans)
            if record.offset >= span[0]:
                yield record
