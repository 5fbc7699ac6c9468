"""What the local stack and tests ask of Kafka.

It is longer than most modules: it is the one here that imports Kafka's driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from ugc_local.deadline import Deadline

Headers = Sequence[tuple[str, bytes]]

_REQUEST_S = 20.0
_BY_KEY = -1
_NO_LEADER_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
# What the driver would log of lost connections arrives as errors of the calls below.
_QUIET = {"log_level": 2}


class KafkaClientError(Exception):
    """A request that Kafka refused or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic to create; `config` as Kafka spells it."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is stored."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


class KafkaClient:
    """Requests to one broker without authentication. Every call waits for its outcome."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._settings: dict[str, str | int | bool] = {
            "bootstrap.servers": bootstrap_servers,
            **_QUIET,
        }
        self._admin = AdminClient(dict(self._settings))
        self._producer: Producer | None = None

    def is_ready(self, timeout_s: float = 1.0) -> bool:
        """Whether the broker has registered with its controller and answers."""
        try:
            return bool(self._admin.list_topics(timeout=timeout_s).brokers)
        except KafkaException:
            return False

    def create_topics(self, topics: Iterable[Topic]) -> None:
        """Create those that do not exist; raise KafkaClientError for another partition count.

        A topic that exists keeps its settings. On return they can be written and read.
        """
        wanted = {topic.name: topic for topic in topics}
        existing = self._partitions()
        for name in wanted.keys() & existing.keys():
            if existing[name] != wanted[name].partitions:
                raise KafkaClientError(
                    f"topic {name} exists with {existing[name]} partitions, not "
                    f"{wanted[name].partitions}: another count would change where keys go"
                )
        missing = [
            NewTopic(topic.name, topic.partitions, 1, config=dict(topic.config))
            for topic in wanted.values()
            if topic.name not in existing
        ]
        if not missing:
            return
        for name, future in self._admin.create_topics(missing).items():
            try:
                future.result(_REQUEST_S)
            except KafkaException as error:
                raise KafkaClientError(f"topic {name} could not be created: {error}") from error
        names = {topic.topic for topic in missing}
        if not Deadline.after(_REQUEST_S).poll(lambda: names <= self._partitions().keys()):
            raise KafkaClientError(f"topics {sorted(names)} were created but do not show")
        for name in names:
            self._watermarks(name)

    def configure_topic(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Change settings of a topic, as Kafka spells them; None gives one its default again.

        Raises KafkaClientError.
        """
        entries = [
            ConfigEntry(
                setting,
                value or "",
                incremental_operation=(
                    AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
                ),
            )
            for setting, value in changes.items()
        ]
        topic = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        try:
            self._admin.incremental_alter_configs([topic])[topic].result(_REQUEST_S)
        except KafkaException as error:
            raise KafkaClientError(f"settings of topic {name}: {error}") from error

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics, so that a later create makes a topic with another id."""
        for name, future in self._admin.delete_topics(list(names)).items():
            try:
                future.result(_REQUEST_S)
            except KafkaException as error:
                raise KafkaClientError(f"topic {name} could not be deleted: {error}") from error
        gone = Deadline.after(_REQUEST_S)
        if not gone.poll(lambda: not set(names) & self._partitions().keys()):
            raise KafkaClientError(f"topics {sorted(names)} were deleted but still show")

    def topics(self) -> dict[str, int]:
        """Every topic but Kafka's own, with its number of partitions."""
        return {
            name: count for name, count in self._partitions().items() if not name.startswith("__")
        }

    def end_offsets(self, topic: str) -> dict[int, int]:
        """For each partition the offset behind its last committed record."""
        return {partition: end for partition, (_, end) in self._watermarks(topic).items()}

    def ranges(self, topic: str) -> dict[int, tuple[int, int]]:
        """For each partition the first offset kept and the one behind the last committed record."""
        return self._watermarks(topic)

    def produce_raw(
        self,
        topic: str,
        records: Iterable[tuple[bytes | None, bytes | None, Headers]],
        *,
        partition: int | None = None,
    ) -> list[tuple[int, int]]:
        """Write (key, value, headers) as they are; (partition, offset) of each, in order.

        Keys choose partitions unless one is given. Raises KafkaClientError if any record was
        refused; others may have been written.
        """
        # Kept from call to call: an idempotent producer needs half a second to get its id. A
        # failed one is not used again.
        producer = self._producer or _producer(self._settings)
        self._producer = None
        positions: dict[int, tuple[int, int]] = {}
        failures: list[KafkaError] = []

        def reporter(index: int) -> Callable[[KafkaError | None, Message], None]:
            def report(error: KafkaError | None, message: Message) -> None:
                if error is not None:
                    failures.append(error)
                else:
                    positions[index] = (message.partition() or 0, message.offset() or 0)

            return report

        count = 0
        for key, value, headers in records:
            _hand_over(producer, topic, key, value, headers, reporter(count), partition)
            producer.poll(0)
            count += 1
        undelivered = producer.flush(_REQUEST_S)
        if failures:
            raise KafkaClientError(f"topic {topic} refused {len(failures)} records: {failures[0]}")
        if undelivered:
            raise KafkaClientError(f"topic {topic}: {undelivered} records were not acknowledged")
        self._producer = producer
        return [positions[index] for index in range(count)]

    def writer(self, on_outcome: OnOutcome) -> RecordWriter:
        """A producer for a steady stream, with acknowledgements by callback."""
        return RecordWriter(self._settings, on_outcome)

    def read_all(self, topic: str) -> Iterator[Record]:
        """Every committed record that is kept, up to the end offsets at the time of the first step.

        Partitions interleave; each partition comes in order.
        """
        marks = {
            p: (start, end) for p, (start, end) in self._watermarks(topic).items() if end > start
        }
        ends = {partition: end for partition, (_, end) in marks.items()}
        with _consumer(self._settings, **{"enable.partition.eof": True}) as consumer:
            consumer.assign([TopicPartition(topic, p, start) for p, (start, _) in marks.items()])
            while ends:
                message = consumer.poll(_REQUEST_S)
                if message is None:
                    raise KafkaClientError(f"topic {topic}: nothing read for {_REQUEST_S:.0f} s")
                error, partition, offset = message.error(), message.partition(), message.offset()
                # At the end of a partition comes an error whose offset is the next record's.
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaClientError(f"topic {topic}: {error}")
                if partition not in ends or offset is None:
                    continue
                if error is None and offset < ends[partition]:
                    yield _record(message)
                if offset >= ends[partition] - 1:
                    del ends[partition]

    def committed_offsets(self, group: str, topic: str) -> dict[int, int | None]:
        """For each partition the group's committed offset, None where there is none."""
        partitions = range(self._partition_count(topic))
        request = ConsumerGroupTopicPartitions(
            group, [TopicPartition(topic, partition) for partition in partitions]
        )
        try:
            answer = self._admin.list_consumer_group_offsets([request])[group].result(_REQUEST_S)
        except KafkaException as error:
            raise KafkaClientError(f"offsets of group {group}: {error}") from error
        return {
            found.partition: None if found.offset == OFFSET_INVALID else found.offset
            for found in answer.topic_partitions
        }

    def positions(self, group: str) -> GroupPositions:
        """A kept connection that reads what the group has committed; close it."""
        return GroupPositions(self._settings, group)

    def lag(self, group: str, topic: str) -> dict[int, int]:
        """For each partition how many offsets the group has still to pass."""
        committed = self.committed_offsets(group, topic)
        lags = {}
        for partition, (start, end) in self._watermarks(topic).items():
            position = committed.get(partition)
            lags[partition] = end - (start if position is None else position)
        return lags

    def _partitions(self) -> dict[str, int]:
        try:
            found = self._admin.list_topics(timeout=_REQUEST_S).topics
        except KafkaException as error:
            raise KafkaClientError(f"topics of {self.bootstrap_servers}: {error}") from error
        return {name: len(topic.partitions) for name, topic in found.items()}

    def _partition_count(self, topic: str) -> int:
        count = self._partitions().get(topic)
        if count is None:
            raise KafkaClientError(f"there is no topic {topic}")
        return count

    def _watermarks(self, topic: str) -> dict[int, tuple[int, int]]:
        """For each partition the first offset and the one behind the last committed record.

        Waits for partitions that have no leader yet, as after a topic's creation.
        """
        count = self._partition_count(topic)
        found: dict[int, tuple[int, int]] = {}
        deadline = Deadline.after(_REQUEST_S)

        def all_found() -> bool:
            for partition in range(len(found), count):
                at = TopicPartition(topic, partition)
                try:
                    marks = consumer.get_watermark_offsets(at, timeout=_REQUEST_S)
                except KafkaException as error:
                    if error.args[0].code() in _NO_LEADER_YET and deadline.left_s():
                        return False
                    raise KafkaClientError(f"offsets of {topic}: {error}") from error
                if marks is None:
                    raise KafkaClientError(f"offsets of {topic}: no answer")
                found[partition] = marks
            return True

        with _consumer(self._settings) as consumer:
            deadline.poll(all_found)
        return found


class GroupPositions:
    """Reads a group's committed offsets, without being a member."""

    def __init__(self, settings: Mapping[str, str | int | bool], group: str) -> None:
        self._group = group
        self._consumer = Consumer({**settings, "group.id": group, "enable.auto.commit": False})

    def read(
        self, partitions: Iterable[tuple[str, int]], timeout_s: float
    ) -> dict[tuple[str, int], int]:
        """The offset of every partition that has one. Raises KafkaClientError."""
        try:
            found = self._consumer.committed(
                [TopicPartition(topic, number) for topic, number in partitions], timeout=timeout_s
            )
        except KafkaException as error:
            raise KafkaClientError(f"offsets of group {self._group}: {error}") from error
        for at in found:
            if at.error is not None:
                raise KafkaClientError(f"offsets of group {self._group}: {at.error}")
        return {(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close()


OnOutcome = Callable[[int, tuple[str, int, int] | None], None]
"""The number that `write` was given, and (topic, partition, offset); None: it may be in or not."""


class RecordWriter:
    """Writes a stream of records, each of them once, and tells what became of each.

    Used by one thread; outcomes come from within `write`, `poll` and `close`.
    """

    def __init__(self, settings: Mapping[str, str | int | bool], on_outcome: OnOutcome) -> None:
        self._on_outcome = on_outcome
        self._producer = _producer(settings, **{"linger.ms": 10})

    def write(
        self, number: int, topic: str, key: bytes, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Take a record; waits where a broker that is away let too many gather."""

        def report(error: KafkaError | None, message: Message) -> None:
            where = message.partition(), message.offset()
            if error is not None or where[0] is None or where[1] is None:
                self._on_outcome(number, None)
            else:
                self._on_outcome(number, (topic, where[0], where[1]))

        _hand_over(self._producer, topic, key, value, headers, report)

    def poll(self) -> None:
        """Hear of outcomes; waits for nothing."""
        self._producer.poll(0)

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way; what then has no outcome is told to be unknown."""
        self._producer.flush(timeout_s)
        self._producer.purge()
        self._producer.flush(1)


def _producer(settings: Mapping[str, str | int | bool], **more: str | int | bool) -> Producer:
    """A producer that writes each record once, and keeps their order."""
    own = {
        "acks": "all",
        "enable.idempotence": True,
        # As the API and every Java client do, so that a key means the same partition.
        "partitioner": "murmur2_random",
    }
    return Producer({**settings, **own, **more})


def _hand_over(
    producer: Producer,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    on_delivery: Callable[[KafkaError | None, Message], None],
    partition: int | None = None,
) -> None:
    """Give the driver a record; waits while its queue is full. Raises KafkaClientError."""
    while True:
        try:
            producer.produce(
                topic,
                value=value,
                key=key,
                headers=list(headers),
                on_delivery=on_delivery,
                partition=_BY_KEY if partition is None else partition,
            )
        except BufferError:
            producer.poll(0.1)  # some of it is delivered meanwhile
        except KafkaException as error:
            raise KafkaClientError(f"topic {topic}: {error}") from error
        else:
            return


def _consumer(settings: Mapping[str, str | int | bool], **more: str | int | bool) -> Consumer:
    """A consumer that belongs to no group; the driver wants a group's name all the same."""
    bounded = {
        # By default the driver reads 64 MiB ahead.
        "queued.max.messages.kbytes": 4096,
        "fetch.max.bytes": 4 << 20,
        "max.partition.fetch.bytes": 1 << 20,
    }
    own = {
        "group.id": "ugc-local",
        "enable.auto.commit": False,
        # Where retention deletes what is read next: on from the first that is kept.
        "auto.offset.reset": "earliest",
    }
    return Consumer({**settings, **bounded, **own, **more})


def _record(message: Message) -> Record:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None  # noqa: S101, PT018
    # The driver's annotation also allows the mapping that producers may give.
    headers = cast(list[tuple[str, str | bytes | None]], message.headers() or [])
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=tuple((name, _bytes(text)) for name, text in headers),
        timestamp_ms=message.timestamp()[1],
    )


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
