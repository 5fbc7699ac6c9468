"""The rendered topics, users and rules on the real broker, with the rendered services."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
import secured_kafka
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from rendering import Helm, Object, Rendered
from secured_kafka import SecuredKafka
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.testing import ClickHouseService

pytestmark = pytest.mark.integration
WAIT_S = 180
SECRET = "a-key-of-tokens-that-is-thirty-two-bytes-long"
TOPIC, GROUP, TRANSACTION = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
)
VIEWS, LETTERS = "ugc.views.v1", "ugc.dead-letters.v1"


@pytest.fixture(scope="module")
def platform(helm: Helm) -> Rendered:
    return helm.render("ugc-platform", "", profiles=("values-kind.yaml",))


@pytest.fixture(scope="module")
def kafka(platform: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    folder = tmp_path_factory.mktemp("secured")
    topics, users = platform.all("KafkaTopic"), platform.all("KafkaUser")
    with secured_kafka.running(folder, topics, users) as found:
        yield found


def environ_of(
    pod: Object, platform: Rendered, kafka: SecuredKafka, **changes: str
) -> dict[str, str]:
    """What the pod would have, with the addresses and files of this machine."""
    rendered = platform.environment(pod)
    user = rendered["KAFKA_SASL_USERNAME"]
    assert rendered["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    here = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
        "KAFKA_SSL_CA_LOCATION": str(kafka.authority),
        "KAFKA_SASL_PASSWORD": kafka.passwords[user],
    }
    return {"PATH": os.environ["PATH"]} | rendered | here | changes


def eventually(
    look: Callable[[], str], wanted: str, process: "subprocess.Popen[bytes]", log: Path
) -> None:
    deadline = time.monotonic() + WAIT_S
    while wanted not in (said := look()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, said + log.read_text()
        time.sleep(0.1)


@contextlib.contextmanager
def running(
    command: list[str], environ: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def posted(port: int, events: list[dict[str, object]]) -> int:
    token = jwt.encode({"sub": str(uuid.uuid4()), "exp": int(time.time()) + 600}, SECRET, "HS256")
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{port}/v1/events",
        json.dumps(events).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - ours
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def tick() -> dict[str, object]:
    return {
        "type": "view_progress", "occurred_at": int(time.time() * 1000), "device": "tv",
        "session_id": str(uuid.uuid4()), "content_id": str(uuid.uuid4()),
        "position_ms": 1000, "duration_ms": 60_000,
    }  # fmt: skip


@pytest.mark.proves("the services do their work with the rendered users and rules", by="running")
def test_an_event_goes_all_the_way(
    platform: Rendered, kafka: SecuredKafka, clickhouse: ClickHouseService, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    api = platform.one("Deployment", "ugc-api")["spec"]["template"]
    environ = environ_of(
        api, platform, kafka, JWT_SECRET_FILE=str(tmp_path / "keys"), API_CONCURRENCY="2",
        API_BIND=f"{LOOPBACK}:{port}",
    )  # fmt: skip
    (tmp_path / "keys").write_text(SECRET)
    gunicorn = ["gunicorn", "-c", "python:ugc_api.gunicorn_conf", "ugc_api.wsgi:app"]

    def ready() -> str:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=30) as found:
                return str(found.status)
        except OSError as error:
            return str(error)

    with running(gunicorn, environ, tmp_path / "api.log") as process:
        eventually(ready, "200", process, tmp_path / "api.log")
        assert posted(port, [tick() for _ in range(5)]) == 202
    # A record that is no event, by somebody who may do everything.
    kafka.admin.produce_raw(VIEWS, [(b"key", b"no JSON", [])])

    name = f"acl_{uuid.uuid4().hex[:8]}"
    (metrics,) = free_ports(1)
    etl = platform.one("StatefulSet", "ugc-etl")["spec"]["template"]
    user, password = clickhouse.admin
    environ = environ_of(
        etl, platform, kafka,
        CLICKHOUSE_HOST=clickhouse.host, CLICKHOUSE_PORT=str(clickhouse.native_port),
        CLICKHOUSE_USER=user, CLICKHOUSE_PASSWORD=password, CLICKHOUSE_CLUSTER="",
        CLICKHOUSE_DATABASE=name, CLICKHOUSE_ANALYTICS_DATABASE=f"{name}_analytics",
        METRICS_PORT=str(metrics), METRICS_HOST=LOOPBACK, PSEUDONYM_KEY="p" * 32,
    )  # fmt: skip

    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ugc_etl", *words],
            env=environ, capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    command("migrate")
    with running(["ugc_etl", "run"], environ, tmp_path / "etl.log") as process:
        whole = "exact: 5 rows + 1 dead letters"
        eventually(lambda: audited(environ), whole, process, tmp_path / "etl.log")
    assert "exact: 5 rows + 1 dead letters" in command("audit")
    assert "not_json" in command("dead-letters", "list")
    # Takes the lease: transactions of the group of commands.
    command("dead-letters", "redrive", "--apply")
    assert "exact: 5 rows + 1 dead letters" in command("audit")


def audited(environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ugc_etl", "audit"],
        env=environ, capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def written(connection: dict[str, str], topic: str) -> KafkaError | None:
    """What Kafka says of one record."""
    said: list[KafkaError | None] = []
    producer = Producer(connection | {"message.timeout.ms": "60000"})
    producer.produce(topic, b"x", b"x", on_delivery=lambda error, _: said.append(error))
    producer.flush(90)
    return said[0]


def read(connection: dict[str, str], topic: str) -> KafkaError | None:
    """What Kafka says to who reads from the beginning; a group is not needed for it."""
    # To commit at the end would wait for a group that nobody may ask for.
    reading = {"group.id": "any", "enable.auto.commit": "false", "enable.partition.eof": "true"}
    consumer = Consumer(connection | reading)
    deadline = time.monotonic() + WAIT_S
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while True:
            assert time.monotonic() < deadline
            found = consumer.poll(1)
            error = found.error() if found is not None else None
            if found is None or (error is not None and error.code() == GROUP):
                continue
            at_end = error is None or error.code() == KafkaError._PARTITION_EOF
            return None if at_end else error
    finally:
        consumer.close()


def looked_at(connection: dict[str, str], topic: str) -> KafkaError | None:
    """What Kafka says to who asks for a topic, without which nobody reads it."""
    admin = AdminClient(connection)
    asked = admin.describe_topics(TopicCollection([topic]))
    try:
        asked[topic].result(60)
    except KafkaException as error:
        return error.args[0]
    return None


def committed(connection: dict[str, str], group: str) -> KafkaError | None:
    """What Kafka says to who keeps an offset for a group."""
    admin = AdminClient(connection)
    place = TopicPartition(VIEWS, 3, 0)
    ((_, asked),) = admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, [place])]
    ).items()
    try:
        asked.result(60)
    except KafkaException as error:
        return error.args[0]
    return None


def asked_of(connection: dict[str, str], group: str) -> KafkaError | None:
    """What Kafka says to who asks for a group's offsets."""
    admin = AdminClient(connection)
    asked = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, [TopicPartition(VIEWS, 0)])]
    )
    try:
        asked[group].result(60)
    except KafkaException as error:
        return error.args[0]
    return None


def fenced(connection: dict[str, str], name: str) -> KafkaError | None:
    """What Kafka says to who takes a transactional id."""
    producer = Producer(connection | {"transactional.id": name})
    try:
        producer.init_transactions(60)
    except KafkaException as error:
        return error.args[0]
    return None


REFUSED = [
    ("ugc-kafka-api", read, VIEWS, TOPIC),
    ("ugc-kafka-api", looked_at, LETTERS, TOPIC),
    ("ugc-kafka-api", written, LETTERS, TOPIC),
    ("ugc-kafka-api", written, "ugc.etl.control.v1", TOPIC),
    ("ugc-kafka-api", committed, "ugc-etl", GROUP),
    ("ugc-kafka-api", asked_of, "ugc-etl", GROUP),
    ("ugc-kafka-api", fenced, "ugc-etl.commands", TRANSACTION),
    ("ugc-kafka-etl", written, VIEWS, TOPIC),
    ("ugc-kafka-etl", written, "ugc.etl.control.v1", TOPIC),
    ("ugc-kafka-etl", committed, "another", GROUP),
    ("ugc-kafka-etl", fenced, "another", TRANSACTION),
    ("stranger", written, VIEWS, TOPIC),
    ("stranger", looked_at, VIEWS, TOPIC),
    ("stranger", asked_of, "ugc-etl", GROUP),
]
ALLOWED = [
    ("ugc-kafka-api", written, "ugc.interactions.v1"),
    ("ugc-kafka-etl", read, LETTERS),
    ("ugc-kafka-etl", committed, "ugc-etl"),
    ("ugc-kafka-etl", asked_of, "ugc-etl.commands"),
    ("ugc-kafka-etl", fenced, "ugc-etl.commands"),
]


@pytest.mark.proves("who may do what on Kafka is what the rendered rules say", by="running")
@pytest.mark.parametrize(("user", "deed", "what", "code"), REFUSED)
def test_nobody_may_do_more(
    kafka: SecuredKafka,
    user: str,
    deed: Callable[[dict[str, str], str], KafkaError | None],
    what: str,
    code: int,
) -> None:
    error = deed(kafka.connection(user), what)
    assert error is not None
    assert error.code() == code


@pytest.mark.parametrize(("user", "deed", "what"), ALLOWED)
def test_everybody_may_do_their_own(
    kafka: SecuredKafka,
    user: str,
    deed: Callable[[dict[str, str], str], KafkaError | None],
    what: str,
) -> None:
    assert deed(kafka.connection(user), what) is None


def test_nobody_makes_topics(kafka: SecuredKafka) -> None:
    for user in ("ugc-kafka-api", "ugc-kafka-etl", "stranger"):
        admin = AdminClient(kafka.connection(user))
        ((_, asked),) = admin.create_topics([NewTopic("another", 1, 1)]).items()
        with pytest.raises(KafkaException) as refused:
            asked.result(60)
        assert refused.value.args[0].code() in (KafkaError.CLUSTER_AUTHORIZATION_FAILED, TOPIC)


@pytest.mark.parametrize(
    "changes",
    [
        {"sasl.password": "another"},
        {"security.protocol": "SASL_PLAINTEXT"},
        {"security.protocol": "SSL"},
        {"security.protocol": "PLAINTEXT"},
        {"ssl.ca.location": "another authority"},
    ],
    ids=lambda changes: next(iter(changes.values()))[-14:],
)
def test_nobody_gets_in_another_way(
    kafka: SecuredKafka, tmp_path: Path, changes: dict[str, str]
) -> None:
    if "ssl.ca.location" in changes:
        folder = tmp_path / "another"
        folder.mkdir()
        changes = {"ssl.ca.location": str(secured_kafka.made_certificate(folder)[0])}
    admin = AdminClient(kafka.connection("ugc-kafka-api", **changes))
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=5)
    assert AdminClient(kafka.connection("ugc-kafka-api")).list_topics(timeout=60).topics
