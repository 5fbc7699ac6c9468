"""A deployment whose stores are filled by hand, and the commands run on it."""

import json
import time
from uuid import UUID

from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition
from samples import view
from stores import (
    connect,
    create_topics,
    etl_environ,
    eventually,
    new_deployment,
    new_prefix,
)
from ugc_etl.__main__ import main
from ugc_etl.adapters.kafka_tools import KafkaTools
from ugc_etl.operations.lease import Lease, LeaseTerms
from ugc_etl.operations.memory import MemoryLease, MemoryLeaseLog
from ugc_etl.operations.rows_once import Clock
from ugc_etl.protocol.intent import Mark
from ugc_etl.protocol.metadata import encode_metadata
from ugc_etl.schema import migrate
from ugc_events import DeadLetter, Reason, encode_record


class Stage:
    """Topics, tables and a group of their own."""

    def __init__(self, kafka, clickhouse, partitions=2):
        self.kafka, self.prefix, self.deployment = kafka, new_prefix(), new_deployment()
        create_topics(kafka, self.prefix, partitions)
        self.environ = etl_environ(kafka, clickhouse, self.deployment, self.prefix)
        self.sql = connect(clickhouse)
        migrate(self.sql, self.deployment)
        self.topic = f"{self.prefix}ugc.views.v1"
        self.letters_topic = f"{self.prefix}ugc.dead-letters.v1"
        self.group = f"{self.prefix}etl"
        self.connection = {"bootstrap.servers": kafka.bootstrap_servers}
        self.log = KafkaTools(self.connection)
        self.now_ms = int(time.time() * 1000)

    def lease(self):
        """One that nobody else has."""
        log, clock = MemoryLeaseLog(MemoryLease()), Clock(time.monotonic, time.sleep)
        lease = Lease(
            log, self.sql, clock, LeaseTerms(60, 10),
            holder="a test", cancel=lambda: None, on_progress=lambda _: None,
        )  # fmt: skip
        lease.take()
        return lease

    def close(self):
        self.sql.close()
        self.log.close()

    def partition(self, number=0, topic=None):
        return self.log.partitions([topic or self.topic])[number]

    def produce(self, values, number=0, *, in_transaction=False):
        """Append to a partition of the views' topic; a transaction leaves its marker behind."""
        config = {**self.connection, "acks": "all"}
        if in_transaction:
            config["transactional.id"] = f"{self.prefix}t"
        producer = Producer(config)
        if in_transaction:
            producer.init_transactions(30)
            producer.begin_transaction()
        failures = []
        for value in values:
            producer.produce(
                self.topic, value, b"k", number, timestamp=self.now_ms,
                on_delivery=lambda failure, _: failures.append(failure) if failure else None,
            )  # fmt: skip
        if in_transaction:
            partition = self.partition(number)
            end = self.log.bounds([partition])[partition][1] + len(values) + 1
            producer.commit_transaction(30)
            # The marker comes a little later than the answer.
            eventually(lambda: self.log.bounds([partition])[partition][1] == end)
        assert producer.flush(30) == 0
        assert failures == []

    def views(self, count, first=0):
        return [encode_record(view(first + n, self.now_ms)) for n in range(count)]

    def store(self, offsets, number=0, *, topic_id=None, attempt=0, generation=0, **columns):
        """Insert rows for these offsets, as the consumers would have; all of the same event."""
        partition = self.partition(number)
        constants = {
            "type": "'view_progress'",
            "_topic_id": f"toUUID('{topic_id or partition.topic_id}')",
            "_partition": number,
            "_generation": generation,
            "_attempt": attempt,
            "_timestamp": f"fromUnixTimestamp64Milli({self.now_ms})",
            "_insert_by": "now() + 60",
            **columns,
        }
        listed = ", ".join(map(str, offsets))
        self.sql.execute(
            f"INSERT INTO {self.deployment.local('views')} (_offset, {', '.join(constants)})"
            " SETTINGS insert_deduplicate = 0"
            f" SELECT arrayJoin([{listed}]), {', '.join(map(str, constants.values()))}"
        )

    def commit(self, offset, number=0, **more):
        partition = self.partition(number)
        mark = Mark(topic_id=partition.topic_id, offset=offset, decoder="1", **more)
        place = TopicPartition(self.topic, number, offset, encode_metadata(mark))
        consumer = Consumer({**self.connection, "group.id": self.group})
        consumer.commit(offsets=[place], asynchronous=False)
        consumer.close()

    def letter(self, offset, value=b"{", number=0, reason=Reason.NOT_JSON, **more):
        letter = DeadLetter(
            **{
                "topic": self.topic,
                "topic_id": self.partition(number).topic_id,
                "partition": number,
                "offset": offset,
                "key": b"k",
                "value": value,
                "headers": [("h", b"v")],
                "timestamp_ms": self.now_ms,
                "field": "",
                "reason": reason,
                "detail": "no JSON",
                "first_seen_ms": self.now_ms,
            }
            | more
        )
        key, body, headers = letter.to_record()
        producer = Producer(self.connection)
        producer.produce(self.letters_topic, body, key, headers=headers)
        assert producer.flush(30) == 0
        return letter

    def erase_places(self, offsets, number=0):
        topic_id = UUID(self.partition(number).topic_id)
        listed = ", ".join(map(str, offsets))
        self.sql.execute(
            f"INSERT INTO {self.deployment.table('erased_places')} (topic_id, partition, offset)"
            f" SELECT '{topic_id}', {number}, arrayJoin([{listed}])"
        )

    def run(self, *arguments):
        """`etl …` in this process; (exit code, output, errors)."""
        done = CliRunner().invoke(main, arguments, env=self.environ)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout, done.stderr

    def audit(self, *arguments):
        """`etl audit --json`: (exit code, report)."""
        code, output, errors = self.run("audit", "--json", *arguments)
        assert code in (0, 1), errors
        return code, json.loads(output)

    def count(self, table, where="1"):
        rows = self.sql.execute(f"SELECT count() FROM {self.deployment.table(table)} WHERE {where}")
        return rows[0][0]
