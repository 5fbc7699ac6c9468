"""The real thing: a broker, the engine, the migrations, and the ETL as a process."""

import os
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
from ugc_events import FAMILIES, DeadLetter, encode_record, record_key
from ugc_events.registry import DEAD_LETTERS_TOPIC

pytestmark = pytest.mark.integration


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
