"""Kafka, by confluent-kafka, for the operators' commands: read by hand, as no member of a group."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast
from uuid import UUID

import msgspec
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from ugc_events import DeadLetter
from ugc_events.dead_letters import Headers

from ugc_etl.operations.ports import Declared, LetterRecord, StoredRecord
from ugc_etl.ports import OutcomeUnknownError, RefusedError
from ugc_etl.protocol.intent import Foreign, Mark
from ugc_etl.protocol.metadata import decode_metadata
from ugc_etl.records import Partition

log = logging.getLogger(__name__)

_REQUEST_S = 20.0
_SILENCE_S = 30.0
_PATIENCE_S = 0.1
_AT_ONCE = 5000
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
READER_GROUP = "ugc-etl-tools"
"""Needed by the client, used for nothing: it neither joins nor commits, but may be asked for."""

_READER = {
    "group.id": READER_GROUP,
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "queued.max.messages.kbytes": 16 * 1024,
}
_WRITER = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 5,
    # A dead letter is a record plus what is said of it.
    "message.max.bytes": 2 * 1024 * 1024,
    "compression.type": "lz4",
    # Whoever has more letters waits for room.
    "queue.buffering.max.kbytes": 16 * 1024,
}

_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError._STATE,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)
_DENIED = frozenset(
    {
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)


class KafkaTools:
    """The `KafkaLog` of the commands. For one thread, and one reading at a time."""

    def __init__(self, connection: Mapping[str, str], *, silence_s: float = _SILENCE_S) -> None:
        """`connection` is librdkafka's configuration of the connection.

        A broker that answers nothing for `silence_s` while records are under way is given up.
        """
        self._connection: dict[str, Any] = {**connection, "logger": log}
        self._silence_s = silence_s
        self._admin = AdminClient(dict(self._connection))
        self._producer: Producer | None = None

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """As the brokers describe the topics; none of one that is not there."""
        asked = self._admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=_REQUEST_S
        )
        found = []
        for topic, future in asked.items():
            try:
                described = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise OutcomeUnknownError(f"{topic} cannot be described: {error}") from error
                continue
            high = described.topic_id.get_most_significant_bits() % 2**64
            low = described.topic_id.get_least_significant_bits() % 2**64
            topic_id = str(UUID(int=high << 64 | low))
            found += [Partition(topic, topic_id, p.id) for p in described.partitions]
        return sorted(found)

    def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """The log start offsets and the last stable offsets."""
        starts, ends = self._offsets(partitions, _EARLIEST), self._offsets(partitions, _LATEST)
        return {p: (starts[p], ends[p]) for p in partitions}

    def at_time(self, partitions: Sequence[Partition], time_ms: int) -> dict[Partition, int]:
        """By the brokers' time indexes."""
        ends = self._offsets(partitions, _LATEST)
        found = self._offsets(partitions, OffsetSpec.for_timestamp(time_ms))
        return {p: ends[p] if found[p] < 0 else found[p] for p in partitions}

    def marks(self, group: str, partitions: Sequence[Partition]) -> dict[Partition, Mark | Foreign]:
        """The group's stable offsets and their metadata."""
        if not partitions:
            return {}
        asked = [TopicPartition(p.topic, p.number) for p in partitions]
        committed = _committed(self._admin, group, asked)
        answers = {(place.topic, place.partition): place for place in committed}
        marks: dict[Partition, Mark | Foreign] = {}
        for partition in partitions:
            place = answers.get((partition.topic, partition.number))
            if place is not None and place.error is not None:
                raise OutcomeUnknownError(
                    f"the offset of {group} for {partition} cannot be read: {place.error}"
                )
            if place is not None and place.offset >= 0:
                marks[partition] = decode_metadata(place.offset, place.metadata)
        return marks

    def read(self, partition: Partition, start: int, end: int) -> Iterator[StoredRecord]:
        """Consume from `start`, or from the first kept offset, to `end` or the stable end."""
        [(first, last)] = self.bounds([partition]).values()
        for message in self._consume(partition, max(start, first), min(end, last)):
            yield StoredRecord(
                cast("int", message.offset()),
                message.timestamp()[1],
                message.key(),
                message.value(),
                cast("Headers", message.headers() or ()),
            )

    def letters(self, topic: str) -> Iterator[LetterRecord]:
        """Each partition of the topic from its start to its end."""
        partitions = self.partitions([topic])
        if not partitions:
            raise RefusedError(f"there is no topic {topic}")
        for partition, (first, last) in self.bounds(partitions).items():
            for message in self._consume(partition, first, last):
                yield _letter_record(partition, message)

    def publish(self, topic: str, letters: Sequence[DeadLetter], keep_by_s: int) -> None:
        """Produce each letter as the consumers do, acknowledged by all in sync."""
        self._produce(topic, [(*letter.to_record(), -1) for letter in letters], keep_by_s)

    def withdraw(self, topic: str, letters: Sequence[LetterRecord], keep_by_s: int) -> None:
        """Produce a null value for each, acknowledged by all in sync."""
        self._produce(
            topic, [(letter.key, None, [], letter.partition) for letter in letters], keep_by_s
        )

    def close(self) -> None:
        """Nothing is held: everything produced has been answered."""

    def _produce(
        self,
        topic: str,
        records: Sequence[tuple[bytes, bytes | None, list[tuple[str, bytes | None]], int]],
        keep_by_s: int,
    ) -> None:
        """Records of (key, value, headers, partition); -1 lets the key choose.

        The deadline is their timestamp: the topic's `message.timestamp.before.max.ms` refuses
        what comes later.
        """
        if self._producer is None:
            self._producer = Producer({**self._connection, **_WRITER})
        producer = self._producer
        failures: list[KafkaError] = []

        def answered(failure: KafkaError | None, _: Message) -> None:
            if failure is not None:
                failures.append(failure)

        waiting = deque(records)
        left, silent_s = len(waiting), 0.0
        while left and silent_s <= self._silence_s:
            with suppress(BufferError):  # the rest has room when some of it is answered
                while waiting:
                    key, value, headers, partition = waiting[0]
                    producer.produce(
                        topic,
                        value,
                        key,
                        partition,
                        headers=[*headers],
                        timestamp=keep_by_s * 1000,
                        on_delivery=answered,
                    )
                    waiting.popleft()
            before, left = left, len(waiting) + producer.flush(_PATIENCE_S)
            silent_s = 0.0 if left < before else silent_s + _PATIENCE_S
        if any(failure.code() == KafkaError.INVALID_TIMESTAMP for failure in failures):
            raise RefusedError(f"{topic} refuses dead letters: this command was stopped too long")
        if left or failures:
            why = failures[0].str() if failures else "no answer"
            raise OutcomeUnknownError(f"{topic} did not take dead letters: {why}")

    def _offsets(self, partitions: Sequence[Partition], which: OffsetSpec) -> dict[Partition, int]:
        if not partitions:
            return {}
        asked = self._admin.list_offsets(
            {TopicPartition(p.topic, p.number): which for p in partitions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_REQUEST_S,
        )
        by_place = {(place.topic, place.partition): future for place, future in asked.items()}
        try:
            return {p: by_place[p.topic, p.number].result().offset for p in partitions}
        except KafkaException as error:
            raise OutcomeUnknownError(f"offsets cannot be listed: {error}") from error

    def _consume(self, partition: Partition, start: int, end: int) -> Iterator[Message]:
        """The messages of [start, end). `end` is at most the end of what is stable."""
        if start >= end:
            return
        # A consumer of its own: one that is assigned anew may still tell the end that it had
        # reached before.
        consumer = Consumer({**self._connection, **_READER})
        try:
            consumer.assign([TopicPartition(partition.topic, partition.number, start)])
            silent_s = 0.0
            while True:
                # It waits until all have come or the time is over, the end notwithstanding.
                messages = consumer.consume(_AT_ONCE, _PATIENCE_S)
                silent_s = 0.0 if messages else silent_s + _PATIENCE_S
                if silent_s > self._silence_s:
                    raise OutcomeUnknownError(
                        f"Kafka was silent for {self._silence_s:.0f} s while {partition} was read"
                    )
                for message in messages:
                    failure = message.error()
                    if failure is not None:
                        if failure.code() == KafkaError._PARTITION_EOF:
                            return
                        _judge(partition, failure)
                    elif cast("int", message.offset()) >= end:
                        return
                    else:
                        yield message
        finally:
            consumer.close()


class _Lease(msgspec.Struct):
    holder: str
    until_s: int


class KafkaLeaseLog:
    """The lease of the commands: an offset's metadata, committed by Kafka transactions.

    All commands of a group share a transactional id, so a fenced one's commits are refused. The
    offset belongs to a group without members, of one partition of a topic that is always there.
    """

    def __init__(self, connection: Mapping[str, str], *, group: str, topic: str) -> None:
        """`group` is the transactional id as well."""
        self._connection: dict[str, Any] = {**connection, "logger": log}
        self._admin = AdminClient(dict(self._connection))
        self._group = group
        self._place = topic, 0
        self._producer: Producer | None = None

    def declared(self) -> Declared | None:
        """The metadata of the stable offset."""
        [place] = _committed(self._admin, self._group, [TopicPartition(*self._place)])
        if place.error is not None:
            raise OutcomeUnknownError(f"{self._group} cannot be read: {place.error}")
        if place.offset < 0:
            return None
        try:
            found = msgspec.json.decode(place.metadata or "", type=_Lease)
        except msgspec.MsgspecError as error:
            raise RefusedError(
                f"the offset of {self._group} is not this software's ({error}): delete it when no"
                " command has run for one deadline"
            ) from error
        return Declared(found.holder, found.until_s)

    def fence(self) -> None:
        """`init_transactions`: ends or undoes what others have begun, and refuses the rest."""
        self._producer = Producer(
            {
                **self._connection,
                "transactional.id": self._group,
                "transaction.timeout.ms": 10_000,
                # 100 ms by default, which is most of what a transaction takes.
                "retry.backoff.ms": 5,
            }
        )
        with _judged(f"{self._group} cannot be had"):
            self._producer.init_transactions(_REQUEST_S)

    def declare(self, declared: Declared) -> None:
        """One transaction."""
        if self._producer is None:
            raise RefusedError(f"{self._group} is declared by whoever has fenced it")
        metadata = msgspec.json.encode(_Lease(declared.holder, declared.until_s)).decode()
        # Of a consumer only because the metadata of the group comes from one; it never joins.
        consumer = Consumer({**self._connection, "group.id": self._group})
        try:
            with _judged(f"{self._group} could not be declared"):
                self._producer.begin_transaction()
                self._producer.send_offsets_to_transaction(
                    [TopicPartition(*self._place, 0, metadata)],
                    consumer.consumer_group_metadata(),
                    _REQUEST_S,
                )
                self._producer.commit_transaction(_REQUEST_S)
        finally:
            consumer.close()


@contextmanager
def _judged(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        failure: KafkaError = error.args[0]
        if failure.code() in _FENCED:
            raise RefusedError(
                f"{what}: another command has taken the lease; repeat this one when it is through"
            ) from error
        if failure.code() in _DENIED:
            raise RefusedError(f"{what}: {failure.str()}") from error
        raise OutcomeUnknownError(f"{what}: {failure.str()}") from error


def _committed(
    admin: AdminClient, group: str, places: Sequence[TopicPartition]
) -> Sequence[TopicPartition]:
    """The group's stable offsets of these places, each with its metadata or its error."""
    request = ConsumerGroupTopicPartitions(group, list(places))
    asked = admin.list_consumer_group_offsets(
        [request], require_stable=True, request_timeout=_REQUEST_S
    )
    try:
        return asked[group].result().topic_partitions or []
    except KafkaException as error:
        raise OutcomeUnknownError(f"offsets of {group} cannot be read: {error}") from error


def _judge(partition: Partition, failure: KafkaError) -> None:
    if failure.code() == KafkaError._AUTO_OFFSET_RESET:
        raise OutcomeUnknownError(
            f"Kafka's retention went on while {partition} was read: {failure.str()}; try again"
        )
    if failure.fatal() or not failure.retriable():
        raise RefusedError(f"{partition} cannot be read: {failure.str()}")
    log.info("reading %s: %s", partition, failure.str())


def _letter_record(partition: Partition, message: Message) -> LetterRecord:
    value, key = message.value(), message.key()
    offset = cast("int", message.offset())
    letter = None
    if value is not None:
        try:
            letter = DeadLetter.from_record(value, cast("Headers", message.headers() or ()))
        except (KeyError, ValueError) as error:
            raise RefusedError(
                f"{partition} has a record that is no dead letter, at offset {offset}: {error!r}"
            ) from error
    return LetterRecord(partition.number, offset, key or b"", letter, len(value or b""))
