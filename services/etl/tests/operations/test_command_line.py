"""`etl audit` on a real broker and a real engine."""

import pytest
from stores import new_prefix

pytestmark = pytest.mark.integration


def test_an_audit_is_exact_until_a_row_is_deleted_or_doubled_by_hand(stage):
    # Offset 10 is a transaction's marker, 3 and 7 are dead letters, 5 is erased.
    stage.produce(stage.views(10), in_transaction=True)
    stage.produce(stage.views(5))
    stage.letter(3)
    stage.letter(7)
    stage.erase_places([5])
    stage.store([0, 1, 2, 4, 6, 8, 9, 11, 12, 13])
    stage.commit(14)

    code, output, _ = stage.run("audit")
    assert code == 0, output
    assert output.splitlines()[-1] == (
        "exact: 10 rows + 2 dead letters + 1 erased = 14 offsets - 1 without a record"
        " - 0 expired; lost 0, duplicated 0"
    )

    views = stage.deployment.table("views")
    stage.sql.execute(f"DELETE FROM {views} WHERE _offset = 8 SETTINGS mutations_sync = 2")
    stage.sql.execute(
        f"INSERT INTO {views} SETTINGS insert_deduplicate = 0"
        f" SELECT * REPLACE (now() + 600 AS _insert_by) FROM {views} WHERE _offset = 12"
    )
    code, report = stage.audit()
    assert code == 1
    [found] = [p for p in report["partitions"] if p["topic"] == stage.topic and not p["exact"]]
    assert found["ranges"]["missing"] == [[8, 9]]
    [doubled] = found["doubled"]
    assert (doubled["start"], doubled["end"], doubled["rows"]) == (12, 13, 2)
    assert len({source["insert_by_s"] for source in doubled["sources"]}) == 2
    assert report["total"]["duplicated"] == 1
    assert report["total"]["missing"] == 1

    # Any range can be asked for.
    bounds = ("--topic", stage.topic, "--partition", "0")
    assert stage.audit(*bounds, "--from-offset", "0", "--to-offset", "8")[0] == 0
    assert stage.audit(*bounds, "--from-offset", "9", "--to-offset", "12")[0] == 0
    code, output, _ = stage.run("audit", *bounds, "--from-offset", "8", "--to-offset", "9")
    assert code == 1
    assert "missing: 8; Kafka has the record" in output
    assert stage.audit("--topic", stage.topic, "--partition", "1")[0] == 0


def test_a_place_is_of_one_kind_and_rows_do_not_run_ahead(stage):
    stage.produce(stage.views(20))
    stage.store(range(10))
    stage.commit(10)
    assert stage.audit()[0] == 0
    stage.letter(4)
    stage.erase_places([5])
    stage.store([17])
    code, report = stage.audit()
    assert code == 1
    [found] = [p for p in report["partitions"] if not p["exact"]]
    assert found["ranges"]["row_and_letter"] == [[4, 5]]
    assert found["ranges"]["erased_with_row"] == [[5, 6]]
    assert found["ahead"] == 17


def test_a_former_topic_is_told_apart_from_its_successor(stage, kafka):
    from stores import create_topics

    stage.produce(stage.views(4))
    former = stage.partition()
    stage.store(range(4))
    kafka.client.delete_topics([stage.topic])
    create_topics(kafka, stage.prefix, partitions=2)
    stage.produce(stage.views(3))
    stage.store(range(3))
    stage.commit(3)
    code, report = stage.audit("--topic", stage.topic)
    assert code == 0
    books = {(p["topic_id"], p["partition"]): p for p in report["partitions"]}
    assert books[former.topic_id, 0]["current"] is False
    assert books[former.topic_id, 0]["counts"]["rows"] == 4
    assert books[stage.partition().topic_id, 0]["counts"]["rows"] == 3


def test_another_tools_commit_is_told(stage, kafka):
    from confluent_kafka import Consumer, TopicPartition

    stage.produce(stage.views(2))
    stage.store(range(2))
    consumer = Consumer({**stage.connection, "group.id": stage.group})
    consumer.commit(offsets=[TopicPartition(stage.topic, 0, 2)], asynchronous=False)
    consumer.close()
    code, output, _ = stage.run("audit")
    assert code == 1
    assert "the committed offset is not the ETL's: some other tool has committed it" in output


def test_what_cannot_be_audited_is_a_sentence(stage, unused_port):
    code, output, errors = stage.run("audit", "--from-offset", "1")
    assert (code, output) == (2, "")
    assert "name the topic and the partition" in errors
    code, output, errors = stage.run("audit", "--topic", new_prefix())
    assert (code, output) == (2, "")
    assert "there is nothing of that kind" in errors
    stage.environ["CLICKHOUSE_PORT"] = str(unused_port)
    code, output, errors = stage.run("audit")
    assert (code, output) == (2, "")
    assert f"could not: ClickHouse at 127.0.0.1:{unused_port}" in errors
    del stage.environ["CLICKHOUSE_HOST"]
    assert stage.run("audit")[2].startswith("CLICKHOUSE_HOST")
