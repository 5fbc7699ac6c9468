"""The real thing: a broker, the engine, the migrations, and the ETL as a process."""

import os
import re
import subprocess
import sys
import time

import pytest
from samples import interactions, reactions, view
from stores import (
    connect,
    create_topics,
    etl_environ,
    eventually,
    new_deployment,
    new_prefix,
    running_etl,
)
from ugc_etl.schema import migrate
from ugc_events import FAMILIES, DeadLetter, encode_record, record_key
from ugc_events.registry import DEAD_LETTERS_TOPIC

pytestmark = pytest.mark.integration


def metric(etl, name):
    """The value that the process publishes; 0 while there is none."""
    found = re.findall(rf"^{re.escape(name)} (\S+)$", etl.get("/metrics")[1], re.MULTILINE)
    return float(found[0]) if found else 0.0


def test_every_record_becomes_a_row_or_a_dead_letter_and_a_restart_adds_nothing(
    kafka, clickhouse, tmp_path
):
    prefix, deployment = new_prefix(), new_deployment()
    environ = etl_environ(kafka, clickhouse, deployment, prefix)
    create_topics(kafka, prefix, partitions=3)
    now_ms = int(time.time() * 1000)
    sent = {
        "views": [view(n, now_ms) for n in range(3000)],
        "interactions": list(interactions(200, now_ms)),
        "reactions": list(reactions(200, now_ms)),
    }
    for family in FAMILIES:
        kafka.client.produce_raw(
            family.topic_of(prefix),
            [(record_key(event), encode_record(event), []) for event in sent[family.name]],
        )
    poison = [b"{", b"", b"[]", b'{"type":"nothing"}', b"\xff\xfe"]
    views_topic = f"{prefix}ugc.views.v1"
    kafka.client.produce_raw(views_topic, [(b"k", value, [("h", b"v")]) for value in poison])
    client = connect(clickhouse)

    def rows(table):
        return client.execute(f"SELECT count() FROM {deployment.table(table)}")[0][0]

    with running_etl(environ, tmp_path / "etl.log") as etl:
        # Without a schema it waits, alive, and says for what.
        status, sentence = eventually(
            lambda: (a := etl.get("/readyz"))[0] and "schema" in a[1] and a
        )
        assert status == 503
        assert "etl migrate" in sentence
        assert etl.get("/healthz")[0] == 200
        subprocess.run(
            [sys.executable, "-m", "ugc_etl", "migrate"],
            env=os.environ | environ, check=True, stdout=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        eventually(etl.ready)
        for family in FAMILIES:
            wanted = len(sent[family.name])
            eventually(lambda: rows(family.table) >= wanted)  # noqa: B023
        metrics = eventually(
            lambda: 'reason="not_json"' in (text := etl.get("/metrics")[1]) and text
        )
        assert 'etl_rows_total{family="views"} 3000.0' in metrics
        assert etl.stop() == 0, etl.log.read_text()

    for family in FAMILIES:
        assert rows(family.table) == len(sent[family.name])
    stored = client.execute(
        "SELECT toString(event_id), toString(content_id), position_ms, device, "
        f"toUnixTimestamp64Milli(occurred_at) FROM {deployment.table('views')} ORDER BY event_id"
    )
    assert stored == sorted(
        (str(e.event_id), str(e.content_id), e.position_ms, e.device, e.occurred_at)
        for e in sent["views"]
    )
    letters = [
        DeadLetter.from_record(record.value, record.headers)
        for record in kafka.client.read_all(prefix + DEAD_LETTERS_TOPIC)
    ]
    assert sorted(letter.value for letter in letters) == sorted(poison)
    assert {letter.headers[0] for letter in letters} == {("h", b"v")}

    with running_etl(environ, tmp_path / "again.log") as etl:
        kafka.client.produce_raw(views_topic, [(b"k", encode_record(view(5000, now_ms)), [])])
        eventually(lambda: rows("views") > 3000)
        assert etl.stop() == 0
    assert rows("views") == 3001
    assert len(list(kafka.client.read_all(prefix + DEAD_LETTERS_TOPIC))) == len(poison)
    client.close()


def test_consumers_come_and_go_in_mid_stream_and_every_record_is_one_row(
    kafka, clickhouse, tmp_path
):
    prefix, deployment = new_prefix(), new_deployment()
    # Small, slow batches: there is always one in flight when a partition moves.
    environ = etl_environ(kafka, clickhouse, deployment, prefix) | {
        "BATCH_MAX_ROWS": "200",
        "BATCH_MAX_AGE_MS": "100",
        "INSERTS_PER_S_TARGET": "100",
        "SHUTDOWN_GRACE_S": "120",
    }
    create_topics(kafka, prefix, partitions=4)
    client = connect(clickhouse)
    migrate(client, deployment)
    topic, now_ms, sent = f"{prefix}ugc.views.v1", int(time.time() * 1000), 0

    def send(count):
        nonlocal sent
        events = [view(sent + n, now_ms) for n in range(count)]
        kafka.client.produce_raw(topic, [(record_key(e), encode_record(e), []) for e in events])
        sent += count

    def rows():
        return client.execute(f"SELECT count() FROM {deployment.table('views')}")[0][0]

    with (
        running_etl(environ, tmp_path / "first.log") as first,
        running_etl(environ, tmp_path / "second.log") as second,
    ):
        send(2000)
        eventually(lambda: rows() > 0)
        send(2000)
        eventually(lambda: first.ready() and second.ready())
        eventually(lambda: metric(first, "etl_partitions") == metric(second, "etl_partitions") == 6)
        send(2000)
        assert first.stop() == 0
        with running_etl(environ, tmp_path / "third.log") as third:
            send(1000)
            # Before that it has no handler for the signal that is to stop it.
            eventually(third.ready)
            eventually(lambda: rows() >= sent)
            assert second.stop() == 0
            assert third.stop() == 0
        for etl in (first, second, third):
            assert "gave up" not in etl.log.read_text()
    assert rows() == sent
    counted = f"SELECT uniqExact(_partition, _offset) FROM {deployment.table('views')}"
    assert client.execute(counted) == [(sent,)]
    client.close()


def test_an_outage_of_the_sink_is_waited_out_and_a_stop_in_it_is_clean(
    kafka, clickhouse, proxy, tmp_path
):
    prefix, deployment = new_prefix(), new_deployment()
    environ = etl_environ(kafka, clickhouse, deployment, prefix) | {
        "CLICKHOUSE_PORT": str(proxy.port),
        "SHUTDOWN_GRACE_S": "1",
    }
    create_topics(kafka, prefix, partitions=1)
    client = connect(clickhouse)
    migrate(client, deployment)
    topic, now_ms = f"{prefix}ugc.views.v1", int(time.time() * 1000)

    def send(number):
        kafka.client.produce_raw(topic, [(b"k", encode_record(view(number, now_ms)), [])])

    def rows():
        return client.execute(f"SELECT count() FROM {deployment.table('views')}")[0][0]

    with running_etl(environ, tmp_path / "etl.log") as etl:
        send(0)
        # Not rows(): they may be in before the answer is out, and then it is cut.
        eventually(lambda: metric(etl, 'etl_rows_total{family="views"}') == 1)
        proxy.cut()
        send(1)
        eventually(lambda: metric(etl, 'etl_retries_total{step="deliver"}') >= 2)
        # A restart would not help: it stays alive and ready.
        assert (etl.get("/healthz")[0], etl.get("/readyz")[0]) == (200, 200)
        proxy.mend()
        eventually(lambda: metric(etl, 'etl_rows_total{family="views"}') == 2)
        assert rows() == 2
        proxy.cut()
        send(2)
        eventually(lambda: etl.log.read_text().count("trying again") == 2)
        assert etl.stop() == 0
        assert etl.log.read_text().count("gave up offsets 2 to 2") == 1
    with running_etl(
        environ | {"CLICKHOUSE_PORT": str(clickhouse.native_port)}, tmp_path / "again"
    ):
        eventually(lambda: rows() == 3)
    client.close()
