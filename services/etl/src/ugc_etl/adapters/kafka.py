"""Kafka, by confluent-kafka: the source, the offset log of group mode, the dead letters.

One module although it is long: source and offset log are one member of one group, and a driver is
imported in one place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from operator import itemgetter
from typing import Any, cast
from uuid import UUID

import numpy as np
from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)
from ugc_events import DeadLetter
from ugc_events.dead_letters import Headers

from ugc_etl.outage import Outage
from ugc_etl.ports import AssignmentListener, OutcomeUnknownError, RefusedError
from ugc_etl.protocol import Foreign, Mark, decode_metadata, encode_metadata
from ugc_etl.records import KeyAndHeaders, Partition, Records

log = logging.getLogger(__name__)

_MAX_POLL_RECORDS = 10_000
_FIRST_POLL_RECORDS = 100
_POLL_BYTES = 8 * 1024 * 1024
_POLL_STEP_S = 0.02
_REQUEST_TIMEOUT_S = 10.0
_ENDS_EVERY_S = 5.0
_REFRESH_S = 2.0
_DELIVERY_TIMEOUT_S = 20.0

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

# The defaults (60 s, 10 s) are longer than a session: a reply that the network swallows would hold
# a commit past it, and a broker that is back would not be asked.
_CONNECTION = {
    "socket.timeout.ms": 10_000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    # Failures of a connection come by callback too, and are said once a minute.
    "log_level": 2,
}
_CONSUMER = {
    # Deals every topic out evenly, so that all share the family that is busy; sticky assignment
    # counts partitions and moves those first that come first by name. It is an eager one: every
    # member gives up all it has before it joins again, and none commits while a join is under
    # way. The classic protocol, not KIP-848. See the ADR.
    "partition.assignment.strategy": "roundrobin",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # Where to begin is decided here, at the assignment; a jump would be silent.
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    # librdkafka takes a multiple of these: the queue is checked only between fetches, an answer
    # comes packed and is unpacked whole, and every record has objects of its own. With a queue of
    # 16 MiB and answers of 8 it took 112 to 142 MiB, like this about 56, for the same CPU.
    "queued.max.messages.kbytes": 4 * 1024,
    "fetch.max.bytes": 2 * 1024 * 1024,
    # A second by default, in which nothing is fetched once the queue was full.
    "fetch.queue.backoff.ms": 20,
}
_FATAL = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.FENCED_INSTANCE_ID,
    }
)


def consumer_config(
    connection: Mapping[str, str], group_id: str, session_timeout_ms: int = 10_000
) -> dict[str, Any]:
    """How the source configures librdkafka."""
    return {
        **connection,
        **_CONNECTION,
        **_CONSUMER,
        "group.id": group_id,
        "session.timeout.ms": session_timeout_ms,
        # A member hears of a rebalance with its next heartbeat.
        "heartbeat.interval.ms": min(1_000, session_timeout_ms // 4),
    }


class KafkaSource:
    """Reads topics as a member of a consumer group."""

    def __init__(
        self,
        connection: Mapping[str, str],
        *,
        group_id: str,
        topics: Sequence[str],
        monotonic_s: Callable[[], float],
        session_timeout_ms: int = 10_000,
        request_timeout_s: float = _REQUEST_TIMEOUT_S,
    ) -> None:
        """`connection` is librdkafka's configuration of the connection."""
        self._request_timeout_s = request_timeout_s
        self._topics = list(topics)
        self._monotonic_s = monotonic_s
        self._outage = Outage("Kafka", log)
        config = consumer_config(connection, group_id, session_timeout_ms)
        self.consumer = Consumer({**config, "error_cb": self._on_error, "logger": log})
        admin: dict[str, Any] = {**connection, **_CONNECTION, "logger": log}
        self._admin = AdminClient(admin)
        self._owned: dict[tuple[str, int], Partition] = {}
        self._ends: dict[Partition, int] = {}
        self._asked_ends: dict[Partition, Future[Any]] = {}
        self._asked_ends_at_s = float("-inf")
        self._closed = False
        self._assigned_anew: set[Partition] = set()
        self._poll_records = _FIRST_POLL_RECORDS

    def missing_topics(self) -> list[str]:
        """The topics that the brokers do not have."""
        return [topic for topic in self._topics if topic not in self._topic_ids(self._topics)]

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group; `listener` is called from within `poll` and `close`."""

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            # While we leave, nobody answers questions about offsets any more.
            if not partitions or self._closed:
                consumer.assign([])
                return
            ids = self._assured_topic_ids({p.topic for p in partitions})
            ours = [Partition(p.topic, ids[p.topic], p.partition) for p in partitions]
            starts = listener.assigned(ours)
            self._owned |= {(p.topic, p.number): p for p in ours}
            consumer.assign([_place(p, starts[p]) for p in ours])
            # One call to the consumer may serve a rebalance and give records of before it. Paused,
            # the new assignment gives none yet, so they can be told apart; see `_consume`.
            self.pause(ours)
            self._assigned_anew |= set(ours)

        def revoked(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if ours := self._give_up(partitions):
                listener.revoked(ours)
            consumer.unassign()

        def lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if ours := self._give_up(partitions):
                listener.lost(ours)
            consumer.unassign()

        self.consumer.subscribe(self._topics, on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def poll(self, timeout_s: float) -> Sequence[Records]:
        """Up to some thousand records, or some MiB."""
        messages = self._consume(timeout_s)
        if any(map(KafkaMessage.error, messages)):
            for message in messages:
                if (failure := message.error()) is not None:
                    self._judge(failure)
            messages = [message for message in messages if message.error() is None]
        if messages:
            self._outage.worked(self._monotonic_s())
        by_topic: dict[str, list[KafkaMessage]] = {}
        topics = list(map(_topic, messages))
        if topics and topics.count(topics[0]) == len(topics):
            by_topic[topics[0]] = messages
        else:
            for topic, message in zip(topics, messages, strict=True):
                by_topic.setdefault(topic, []).append(message)
        return [
            records
            for topic, taken in by_topic.items()
            if (records := self._records(topic, taken)) is not None
        ]

    def _consume(self, timeout_s: float) -> list[KafkaMessage]:
        """What there is until enough is there; how much that is, the records' size decides.

        Records come as fast as memory is filled, and their size may change from one to the next.
        So every wait is short: in between, what has come is counted in bytes.
        """
        until_s = self._monotonic_s() + timeout_s
        taken: list[KafkaMessage] = []
        taken_bytes = 0
        while (room := self._poll_records - len(taken)) > 0 and taken_bytes < _POLL_BYTES:
            left_s = max(until_s - self._monotonic_s(), 0.0)
            try:
                messages = self.consumer.consume(room, min(left_s, _POLL_STEP_S))
            except KafkaException as error:
                raise RefusedError(f"Kafka cannot be read any more: {error}") from error
            taken += messages
            if self._assigned_anew:
                taken = self._without_earlier_assignments(taken)
                messages = []
            sizes = list(map(len, messages))
            taken_bytes += sum(sizes)
            # As many of the largest as may come at once; again more after smaller ones.
            fit = _POLL_BYTES // max(1, max(sizes, default=1))
            self._poll_records = max(1, min(fit, 4 * self._poll_records, _MAX_POLL_RECORDS))
            if left_s <= 0:
                break
        return taken

    def _without_earlier_assignments(self, taken: list[KafkaMessage]) -> list[KafkaMessage]:
        """Drop what was read before a rebalance: it comes again, from where the listener said."""
        anew = {(p.topic, p.number) for p in self._assigned_anew}
        # librdkafka remembers across assignments what was paused, so this mends that too.
        self.resume([self._owned[place] for place in anew if place in self._owned])
        self._assigned_anew = set()
        return [m for m in taken if m.error() or (m.topic(), m.partition()) not in anew]

    def _records(self, topic: str, messages: list[KafkaMessage]) -> Records | None:
        """Columns, by calls that never return to Python in between: this runs for every record."""
        count = len(messages)
        numbers = np.fromiter(map(_number, messages), np.intp, count)
        present = np.flatnonzero(np.bincount(numbers)).tolist()
        owned = [self._owned.get((topic, number)) for number in present]
        if None in owned:
            messages = [m for m in messages if (topic, m.partition()) in self._owned]
            return self._records(topic, messages) if messages else None
        owners = np.zeros(present[-1] + 1, np.intp)
        owners[present] = np.arange(len(present))
        return Records(
            partitions=[partition for partition in owned if partition is not None],
            owners=owners[numbers],
            offsets=np.fromiter(map(_offset, messages), np.int64, count),
            timestamps_ms=np.fromiter(
                map(itemgetter(1), map(KafkaMessage.timestamp, messages)), np.int64, count
            ),
            values=list(map(_value, messages)),
            key_and_headers=lambda place: _key_and_headers(messages[place]),
        )

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop reading these."""
        self.consumer.pause([_place(p) for p in partitions])

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read these again."""
        self.consumer.resume([_place(p) for p in partitions])

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        """The brokers' log start offsets and last stable offsets."""
        # Both are asked before either is waited for.
        starts, ends = (self._ask_offsets(partitions, spec) for spec in (_EARLIEST, _LATEST))
        with _UnknownOutcome("offsets cannot be listed"):
            try:
                return {p: (starts[p].result().offset, ends[p].result().offset) for p in partitions}
            except KafkaException:
                self._refresh_metadata()
                raise

    def ends(self) -> Mapping[Partition, int]:
        """As the brokers answered last; asks again without waiting when that is old."""
        failed = False
        for partition, future in list(self._asked_ends.items()):
            if future.done():
                del self._asked_ends[partition]
                if future.exception() is None:
                    self._ends[partition] = future.result().offset
                else:
                    failed = True
        if failed:
            self._refresh_metadata()
        now_s = self._monotonic_s()
        if self._owned and now_s - self._asked_ends_at_s >= _ENDS_EVERY_S:
            self._asked_ends_at_s = now_s
            self._asked_ends = self._ask_offsets(list(self._owned.values()), _LATEST)
        return self._ends

    def close(self) -> None:
        """Leave the group."""
        if not self._closed:
            self._closed = True
            # Closing alone does not leave the group when no partition is owned, and the others'
            # rebalance would wait for a member that is gone until its session is over.
            self.consumer.unsubscribe()
            self.consumer.close()

    def _ask_offsets(
        self, partitions: Sequence[Partition], which: OffsetSpec
    ) -> dict[Partition, Future[ListOffsetsResultInfo]]:
        asked = self._admin.list_offsets(
            {_place(p): which for p in partitions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=self._request_timeout_s,
        )
        by_place = {(tp.topic, tp.partition): future for tp, future in asked.items()}
        return {p: by_place[p.topic, p.number] for p in partitions}

    def _refresh_metadata(self) -> None:
        """Ask for the leaders anew: librdkafka lists offsets by the leader epoch that it knows.

        An epoch that is over gives an error for ever, which does not make it ask.
        """
        with suppress(KafkaException):
            self._admin.list_topics(timeout=_REFRESH_S)

    def _give_up(self, partitions: Sequence[TopicPartition]) -> list[Partition]:
        ours = [self._owned.pop((p.topic, p.partition), None) for p in partitions]
        given_up = [p for p in ours if p is not None]
        for partition in given_up:
            self._ends.pop(partition, None)
        return given_up

    def _assured_topic_ids(self, topics: set[str]) -> dict[str, str]:
        try:
            ids = self._topic_ids(sorted(topics))
        except OutcomeUnknownError as error:
            raise RefusedError(f"{error}; a restart asks again") from error
        if missing := topics - ids.keys():
            raise RefusedError(f"topics were deleted: {', '.join(sorted(missing))}")
        return ids

    def _topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        asked = self._admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=self._request_timeout_s
        )
        ids = {}
        with _UnknownOutcome("topics cannot be described"):
            for topic, future in asked.items():
                try:
                    topic_id = future.result().topic_id
                except KafkaException as error:
                    if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise
                    continue
                high = topic_id.get_most_significant_bits() % 2**64
                low = topic_id.get_least_significant_bits() % 2**64
                ids[topic] = str(UUID(int=high << 64 | low))
        return ids

    def _judge(self, failure: KafkaError) -> None:
        """An error in place of a message: stop, or say so and go on."""
        if failure.code() == KafkaError._AUTO_OFFSET_RESET:
            raise RefusedError(
                f"Kafka no longer has the records that come next ({failure.str()}); "
                "a restart goes on with those it still has, and reports the gap"
            )
        if failure.fatal() or failure.code() in _FATAL:
            raise RefusedError(f"Kafka refuses: {failure.str()}")
        self._on_error(failure)

    def _on_error(self, failure: KafkaError) -> None:
        self._outage.failed(failure.str(), self._monotonic_s())


class GroupOffsetLog:
    """Offsets committed, with their metadata, by the member of the group that `KafkaSource` is."""

    def __init__(self, source: KafkaSource) -> None:
        self._consumer = source.consumer

    def marks(self, partitions: Sequence[Partition]) -> Mapping[Partition, Mark | Foreign]:
        """The group's committed offsets, stable ones only."""
        with _UnknownOutcome("committed offsets cannot be read"):
            committed = self._consumer.committed(
                [_place(p) for p in partitions], timeout=_REQUEST_TIMEOUT_S
            )
            _raise_first(committed)
        found = {(tp.topic, tp.partition): (tp.offset, tp.metadata) for tp in committed}
        marks = {}
        for partition in partitions:
            offset, metadata = found[partition.topic, partition.number]
            if offset >= 0:
                marks[partition] = decode_metadata(offset, metadata)
        return marks

    def record(self, marks: Mapping[Partition, Mark]) -> None:
        """Commit all of them in one request and wait for the answer."""
        with _UnknownOutcome("the commit is not confirmed"):
            committed = self._consumer.commit(
                offsets=[
                    TopicPartition(
                        partition.topic,
                        partition.number,
                        mark.offset,
                        metadata=encode_metadata(mark),
                    )
                    for partition, mark in marks.items()
                ],
                asynchronous=False,
            )
            _raise_first(committed)


class KafkaDeadLetters:
    """Keeps dead letters in their compacted topic."""

    def __init__(
        self,
        connection: Mapping[str, str],
        *,
        topic: str,
        delivery_timeout_s: float = _DELIVERY_TIMEOUT_S,
    ) -> None:
        """`topic` is the dead-letter topic with the deployment's prefix."""
        self._topic = topic
        config: dict[str, Any] = {**connection, **_CONNECTION, "logger": log}
        self._producer = Producer(
            {
                **config,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "delivery.timeout.ms": int(delivery_timeout_s * 1000),
                # A dead letter is a record plus what is said of it.
                "message.max.bytes": 2 * 1024 * 1024,
                # Every letter in it is a copy of one that its batch holds, for all batches at once.
                "queue.buffering.max.kbytes": 4 * 1024,
                "compression.type": "lz4",
                "logger": log,
            }
        )

    def publish(self, letters: Sequence[DeadLetter], keep_by_s: int) -> None:
        """Produce each letter and wait until every one is acknowledged by all in sync.

        The deadline is the records' timestamp: the topic's `message.timestamp.before.max.ms`
        refuses what comes later.
        """
        receipts = _Receipts(len(letters))
        for letter in letters:
            key, value, headers = letter.to_record()
            while not self._produced(key, value, headers, keep_by_s * 1000, receipts):
                self._producer.poll(0.1)
        # Callbacks may come to another thread's poll: what counts is the receipts, and librdkafka
        # answers for every letter within its delivery time-out.
        while not receipts.complete():
            self._producer.poll(0.05)
        if receipts.failures:
            failure = receipts.failures[0]
            sentence = f"the topic {self._topic} does not take dead letters: {failure.str()}"
            if failure.fatal() or failure.code() in _FATAL:
                raise RefusedError(sentence)
            raise OutcomeUnknownError(sentence)

    def close(self) -> None:
        """Drop what is unacknowledged: its batch is not committed and comes again."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _produced(
        self,
        key: bytes,
        value: bytes,
        headers: list[tuple[str, bytes | None]],
        timestamp_ms: int,
        receipts: _Receipts,
    ) -> bool:
        try:
            self._producer.produce(
                self._topic,
                value,
                key,
                headers=[*headers],
                timestamp=timestamp_ms,
                on_delivery=receipts.add,
            )
        except BufferError:
            return False
        except KafkaException as error:
            receipts.add(error.args[0], None)
        return True


class _Receipts:
    """Counts the answers to one `publish`."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self._lock = threading.Lock()
        self.failures: list[KafkaError] = []

    def add(self, failure: KafkaError | None, _: KafkaMessage | None) -> None:
        with self._lock:
            if failure is not None:
                self.failures.append(failure)
            self._missing -= 1

    def complete(self) -> bool:
        return self._missing <= 0


class _UnknownOutcome:
    """Wraps what librdkafka raises."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, KafkaException):
            return
        failure: KafkaError = error.args[0]
        sentence = f"{self._what}: {failure.str()}"
        if failure.fatal() or failure.code() in _FATAL:
            raise RefusedError(sentence) from error
        raise OutcomeUnknownError(sentence) from error


def _raise_first(answered: Sequence[TopicPartition] | None) -> None:
    for place in answered or ():
        if place.error is not None:
            raise KafkaException(place.error)


def _place(partition: Partition, offset: int = OFFSET_INVALID) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number, offset)


def _key_and_headers(message: KafkaMessage) -> KeyAndHeaders:
    return KeyAndHeaders(message.key(), cast("Headers", message.headers() or ()))


# What librdkafka's stubs call optional or text is there, and is bytes, in a message that is no
# error and has no deserializer.
_topic = cast("Callable[[KafkaMessage], str]", KafkaMessage.topic)
_number = cast("Callable[[KafkaMessage], int]", KafkaMessage.partition)
_offset = cast("Callable[[KafkaMessage], int]", KafkaMessage.offset)
_value = cast("Callable[[KafkaMessage], bytes | None]", KafkaMessage.value)
