"""The limit: the ETL's client library and configuration, and nothing but reading the values.

    python benchmarks/etl/limit.py BOOTSTRAP_SERVERS TOPIC PARTITIONS EVENTS COLLECTOR

COLLECTOR is `default`, or `seldom` for the garbage collector as the ETL sets it.
Prints CPU seconds and seconds of the process, from the first record on.
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from ugc_etl.adapters.kafka import consumer_config
from ugc_etl.allocator import collect_garbage_seldom


def main() -> None:
    """Read all."""
    servers, topic, partitions, events, collector = sys.argv[1:]
    if collector == "seldom":
        collect_garbage_seldom()
    consumer = Consumer(consumer_config({"bootstrap.servers": servers}, "limit"))
    consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(int(partitions))])
    cpu_s, started_s = time.process_time(), time.monotonic()
    left = int(events)
    while left > 0:
        messages = consumer.consume(10_000, 0.1)
        for message in messages:
            message.value()
        left -= len(messages)
    print(time.process_time() - cpu_s, time.monotonic() - started_s)
    consumer.close()


if __name__ == "__main__":
    main()
