"""The sink that writes to Kafka; the one module here that imports its driver.

Many callers publish, each waits for its own records; one polls, the loop that gives requests
their turns or else a thread, so delivery reports come from a single place and need no lock. A
record counts as stored when all in-sync replicas have it (`acks=all`), and the producer's own
retries store it once (`enable.idempotence`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ugc_api.patience import Patience
from ugc_api.ports import Batch, Record, SinkUnavailable
from ugc_api.turns import Turns

_log = logging.getLogger(__name__)

_POLL_S = 0.2
_STALL_S = 1.0
_READY_AGE_S = 5.0
_NOT_READY_AGE_S = 1.0
_METADATA_TIMEOUT_S = 2.0


class KafkaSink:
    """An `EventSink` on a Kafka cluster.

    Args:
        connection: librdkafka's properties of address, encryption, authentication.
        topics: the names that have to exist for the sink to be ready.
        delivery_timeout_ms: when the driver itself gives a record up.
        linger_ms: how long a record waits for others to share its batch.
        queue_max_records, queue_max_kbytes: bounds of what is not acknowledged yet.
        max_stalled: how many callers may wait while Kafka acknowledges nothing.
        turns: of requests that have turns; others wait in their threads.
        monotonic: the clock, seconds.
    """

    def __init__(
        self,
        connection: Mapping[str, str],
        *,
        topics: Iterable[str],
        delivery_timeout_ms: int,
        linger_ms: int,
        queue_max_records: int,
        queue_max_kbytes: int,
        max_stalled: int,
        turns: Turns | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._turns = turns or Turns()
        self._topics = frozenset(topics)
        self._monotonic = monotonic
        self._patience = Patience(max_stalled, _STALL_S, monotonic)
        self._fatal: str | None = None
        self._readiness = _Readiness(self._ask_readiness, monotonic)
        config: dict[str, str | int | float | bool | object] = {
            **connection,
            "client.id": "ugc-api",
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": delivery_timeout_ms,
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": queue_max_records,
            "queue.buffering.max.kbytes": queue_max_kbytes,
            "compression.type": "lz4",
            # As every Java client does it, so that a key means one partition to all.
            "partitioner": "murmur2_random",
            "socket.nagle.disable": True,
            # After an outage the first acknowledgement should not wait for long back-offs.
            "reconnect.backoff.max.ms": 2000,
            # Lost connections come as errors too; said once is enough.
            "log_level": 3,
            "error_cb": self._on_error,
            "logger": _log,
        }
        self._producer = Producer(config)
        self._closing = threading.Event()
        self._poller: threading.Thread | None = None
        self._starting = threading.Lock()
        self._turns.ask(self._take_reports)

    def publish(self, batch: Batch, deadline_s: float) -> None:
        """See EventSink."""
        if not batch.records:
            return
        if self._fatal is not None:
            raise SinkUnavailable("broken")
        if not self._patience.enter():
            raise SinkUnavailable("stalled")
        if self._poller is None and not self._turns.now():
            self._start_poller()
        signal = self._turns.signal()
        delivery = _Delivery(len(batch.records), signal.set)
        gave_up = False
        try:
            self._enqueue(batch, delivery.report)
            end = self._monotonic() + deadline_s
            while not signal.wait(min(self._patience.stall_s, end - self._monotonic())):
                if self._monotonic() >= end:
                    raise SinkUnavailable("timed_out", stored=delivery.places_in(batch.records))
                if self._patience.leave_if_stalled():
                    gave_up = True
                    raise SinkUnavailable("stalled", stored=delivery.places_in(batch.records))
        finally:
            if not gave_up:
                self._patience.leave(acknowledged=bool(delivery.stored))
        if delivery.error is not None:
            cause = _cause(delivery.error)
            raise SinkUnavailable(cause, stored=delivery.places_in(batch.records))

    def not_ready(self) -> str | None:
        """See EventSink. What Kafka said is remembered for a few seconds."""
        return self._fatal or self._turns.elsewhere(self._readiness.reason)

    def broken(self) -> str | None:
        """See EventSink."""
        return self._fatal

    def close(self, timeout_s: float) -> int:
        """See EventSink."""
        end = self._monotonic() + timeout_s
        self._closing.set()
        if self._poller is not None:
            self._poller.join(timeout_s)
        return self._producer.flush(max(0.0, end - self._monotonic()))

    def _enqueue(self, batch: Batch, report: Callable[[KafkaError | None, Message], None]) -> None:
        produce = self._producer.produce
        options: dict[str, Any] = {"on_delivery": report, "timestamp": batch.timestamp_ms}
        if batch.headers:
            options["headers"] = list(batch.headers)
        try:
            for topic, key, value in batch.records:
                produce(topic, value, key, **options)
        except BufferError as error:
            raise SinkUnavailable("queue_full") from error
        except KafkaException as error:
            raise SinkUnavailable(_cause(error.args[0])) from error

    def _take_reports(self) -> None:
        """In each round of the loop that gives turns, so that the loop needs no waking."""
        self._producer.poll(0)

    def _start_poller(self) -> None:
        with self._starting:
            if self._poller is None:
                self._poller = threading.Thread(
                    target=self._poll, name="kafka-delivery", daemon=True
                )
                self._poller.start()

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_S)

    def _on_error(self, error: KafkaError) -> None:
        # What is not fatal, the driver mends by itself; who waits is told by the deadline.
        if error.fatal():
            self._fatal = f"Kafka's producer failed for good: {error.str()}"
            _log.error("%s", self._fatal)
        else:
            _log.warning("Kafka: %s", error.str())

    def _ask_readiness(self) -> str | None:
        try:
            # All topics: to ask for one by name could create it.
            found = self._producer.list_topics(timeout=_METADATA_TIMEOUT_S).topics
        except KafkaException as error:
            return f"Kafka does not answer: {error.args[0].str()}"
        missing = sorted(self._topics - found.keys())
        return f"topics do not exist: {', '.join(missing)}" if missing else None


class _Delivery:
    """What became of one caller's records. Reports come from one thread alone."""

    __slots__ = ("_done", "_left", "error", "stored")

    def __init__(self, count: int, done: Callable[[], None]) -> None:
        self._left = count
        self._done = done
        self.stored: list[bytes | None] = []
        self.error: KafkaError | None = None

    def report(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.stored.append(message.value())
        else:
            self.error = error
        self._left -= 1
        if not self._left:
            self._done()

    def places_in(self, records: Sequence[Record]) -> list[int]:
        """Which records are stored. A report names its record by the value alone."""
        left = Counter(list(self.stored))
        places = []
        for place, (_, _, value) in enumerate(records):
            if left[value]:
                left[value] -= 1
                places.append(place)
        return places


class _Readiness:
    """Asks at most once in a while, from one thread at a time; the others get the last answer."""

    def __init__(self, ask: Callable[[], str | None], monotonic: Callable[[], float]) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._reason: str | None = "Kafka has not answered yet"
        self._ask_at = 0.0

    def reason(self) -> str | None:
        if self._lock.acquire(blocking=False):
            try:
                if self._monotonic() >= self._ask_at:
                    self._reason = self._ask()
                    age_s = _NOT_READY_AGE_S if self._reason else _READY_AGE_S
                    self._ask_at = self._monotonic() + age_s
            finally:
                self._lock.release()
        return self._reason


def _cause(error: KafkaError) -> str:
    return error.name().lower().lstrip("_")
