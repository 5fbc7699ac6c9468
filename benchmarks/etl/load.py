"""Realistic view events into a topic, as the API writes them: backlogs, and a steady stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer
from ugc_events import ViewProgress, encode_record, record_key
from viewing_rows import ROW, write_rows

_DEVICES = ("tv", "phone", "web", "tablet", "console")
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def viewing(directory: Path, events: int, seed: int) -> npt.NDArray[np.void]:
    """Rows of a cinema's evenings in the order of arrival; the last arrived just now."""
    path = directory / "viewing.bin"
    write_rows(path, rows=events, batch_rows=events, partitions=1, seed=seed)
    table = np.fromfile(path, ROW)
    path.unlink()
    shift = int(time.time() * 1000) - int(table["received_at"].max())
    table["received_at"] += np.uint64(shift)
    table["occurred_at"] += np.uint64(shift)
    return table


def backlog(
    bootstrap_servers: str, topic: str, table: npt.NDArray[np.void], partitions: int
) -> int:
    """Produce every row; return the bytes of the values."""
    producer = _producer(bootstrap_servers)
    size = 0
    where = ((table["user_lo"] ^ table["content_lo"]) % np.uint64(partitions)).tolist()
    for partition, event in zip(where, _events(table), strict=True):
        size += _produce(producer, topic, partition, event)
    producer.flush()
    return size


def stream(
    bootstrap_servers: str,
    topic: str,
    table: npt.NDArray[np.void],
    partitions: int,
    events_per_s: int,
) -> float:
    """Produce every row at an even rate, received at the moment it is sent; the rate it was."""
    producer = _producer(bootstrap_servers)
    started_s = time.monotonic()
    sent = now_ms = 0
    for event in _events(table):
        if sent % 200 == 0:
            producer.poll(0)
            ahead_s = started_s + sent / events_per_s - time.monotonic()
            if ahead_s > 0:
                time.sleep(ahead_s)
            now_ms = int(time.time() * 1000)
        fresh = ViewProgress(
            event_id=event.event_id,
            occurred_at=now_ms,
            received_at=now_ms,
            user_id=event.user_id,
            session_id=event.session_id,
            content_id=event.content_id,
            position_ms=event.position_ms,
            duration_ms=event.duration_ms,
            device=event.device,
        )
        _produce(producer, topic, sent % partitions, fresh)
        sent += 1
    rate = sent / (time.monotonic() - started_s)
    producer.flush()
    return rate


def large_records(bootstrap_servers: str, topic: str, partitions: int, records: int) -> int:
    """As large as a broker takes by default, in the value or in the headers; how many."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "message.max.bytes": 2_000_000})
    filler = np.random.default_rng(1).integers(97, 123, 1_040_000, np.uint8).tobytes()
    for number in range(records):
        value, header = (filler, b"") if number % 2 else (b"{}", filler)
        while True:
            try:
                producer.produce(
                    topic, value, b"k", partition=number % partitions, headers=[("h", header)]
                )
            except BufferError:
                producer.poll(0.05)
            else:
                break
        if number % 20 == 0:
            producer.flush()
    producer.flush()
    return records


def _events(table: npt.NDArray[np.void]) -> Iterator[ViewProgress]:
    def ids(name: str) -> Iterator[UUID]:
        for high, low in zip(
            table[f"{name}_hi"].tolist(), table[f"{name}_lo"].tolist(), strict=True
        ):
            yield UUID(int=high << 64 | low)

    for event_id, user_id, session_id, content_id, occurred, received, at, length, device in zip(
        ids("event"), ids("user"), ids("session"), ids("content"),
        table["occurred_at"].tolist(), table["received_at"].tolist(),
        table["position_ms"].tolist(), table["duration_ms"].tolist(), table["device"].tolist(),
        strict=True,
    ):  # fmt: skip
        yield ViewProgress(
            event_id=event_id,
            occurred_at=occurred,
            received_at=received,
            user_id=user_id,
            session_id=session_id,
            content_id=content_id,
            position_ms=at,
            duration_ms=length,
            device=_DEVICES[device],
        )


def _producer(bootstrap_servers: str) -> Producer:
    # As the API's, but for a buffer that keeps up with a benchmark.
    return Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )


def _produce(producer: Producer, topic: str, partition: int, event: ViewProgress) -> int:
    value = encode_record(event)
    while True:
        try:
            producer.produce(
                topic,
                value,
                record_key(event),
                partition=partition,
                timestamp=event.received_at,
                headers=[("traceparent", TRACEPARENT)],
            )
        except BufferError:
            producer.poll(0.05)
        else:
            return len(value)
