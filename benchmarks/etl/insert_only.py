"""Insert only: decoded rows in memory, made into blocks and inserted as the ETL does.

    python benchmarks/etl/insert_only.py BOOTSTRAP_SERVERS TOPIC PARTITIONS EVENTS BATCH_ROWS
        CLICKHOUSE_PORT USER PASSWORD TABLE

Prints CPU seconds and seconds of the process, per million rows.
"""

from __future__ import annotations

import sys
import time
from uuid import UUID

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from ugc_etl.adapters.clickhouse import ClickHouse, ClickHouseAddress
from ugc_etl.adapters.memory import records_of
from ugc_etl.decode import Decoder
from ugc_etl.native_block import constant_column
from ugc_etl.operations.ports import StoredRecord
from ugc_etl.records import Partition
from ugc_etl.rows import INSERT_BY, block_of
from ugc_events.registry import VIEWS


def main() -> None:
    """Read a batch (not counted), insert it (counted), and the next."""
    servers, topic, partitions, events, batch_rows, port, user, password, table = sys.argv[1:]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "insert-only"})
    consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(int(partitions))])
    clickhouse = ClickHouse(
        ClickHouseAddress(host="127.0.0.1", port=int(port), user=user, password=password), time.time
    )
    decoder = Decoder(VIEWS)
    partition = Partition(topic, str(UUID(int=1)), 0)
    cpu_s = passed_s = 0.0
    done = 0
    while done < int(events):
        stored = [
            StoredRecord(done + n, message.timestamp()[1], None, message.value(), ())
            for n, message in enumerate(consumer.consume(int(batch_rows), 5.0))
        ]
        rows = decoder.decode(records_of(partition, stored), 0)[partition].rows
        started_cpu_s, started_s = time.thread_time(), time.monotonic()
        block = block_of(VIEWS, partition, rows, b"k" * 32)
        deadline = constant_column(
            INSERT_BY.name, INSERT_BY.type, int(time.time()) + 60, block.rows
        )
        clickhouse.insert(table, block.replacing(deadline), f"insert-only:{done}")
        cpu_s += time.thread_time() - started_cpu_s
        passed_s += time.monotonic() - started_s
        done += len(stored)
    print(cpu_s * 1e6 / done, passed_s * 1e6 / done)
    consumer.close()
    clickhouse.close()


if __name__ == "__main__":
    main()
