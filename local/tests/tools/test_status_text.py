import pytest
from rich.text import Text
from ugc_local.tools.status import FamilyStatus, ProcessStatus, StackStatus, problems_of
from ugc_local.tools.status_text import duration, status_text

STATUS = StackStatus(
    data_dir="/data [of mine]",
    healthy=False,
    problems=["etl-1 has ended"],
    kafka_version="4.3.1",
    clickhouse_version="",
    clickhouse_kind="embedded",
    disk_free_bytes=5 << 30,
    processes=[
        ProcessStatus("kafka", True, True, "ready", 17, "127.0.0.1:1", 181 << 20, 3700.0),
        ProcessStatus("etl-1", False, False, "has ended", 18, "http://x:2", 0, 0.0),
    ],
    families=[FamilyStatus("views", 1_234_567, 1_234_560, 7, 0), FamilyStatus("reactions")],
)


def test_a_status_is_a_page_whose_columns_stand_below_each_other():
    lines = Text.from_markup(status_text(STATUS)).plain.splitlines()
    assert lines == [
        "process  state    pid   memory     up for  address      health",
        "kafka    running   17  181 MiB  1 h 1 min  127.0.0.1:1  ready",
        "etl-1    ended     18        -          -  http://x:2   has ended",
        "",
        "family       records       rows  ETL lag  dead letters",
        "views      1,234,567  1,234,560        7             0",
        "reactions          ?          ?        ?             ?",
        "",
        "Kafka 4.3.1, ClickHouse version unknown (embedded), 5,120 MiB free in /data [of mine]",
        "etl-1 has ended",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7200, "2 h"), (90_000, "1 d 1 h")],
)
def test_durations_have_two_units(seconds, text):
    assert duration(seconds) == text


def test_problems_are_what_ended_what_is_unwell_and_a_disk_without_room():
    well, ended = STATUS.processes
    assert problems_of([well], 10 << 30) == []
    assert problems_of([ended], 10 << 30) == [
        "etl-1 has ended",
        "ugc up starts again what is missing; the data are kept",
    ]
    unwell = ProcessStatus("api", True, False, "Kafka does not answer", 19, "", 0, 0.0)
    assert problems_of([well, unwell], 10 << 30) == ["api: Kafka does not answer"]
    (sentence,) = problems_of([well], 3 << 20)
    assert sentence.startswith("the disk has 3 MiB left: free some")
