"""The whole demo, small: real broker, real engine, real services; one stack for all tests."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from ugc_events.registry import DEAD_LETTERS_TOPIC
from ugc_local.demo.analyst import Analyst
from ugc_local.demo.answers import Name, Value
from ugc_local.demo.day import ReplayedDay
from ugc_local.demo.report import Report
from ugc_local.demo.run import Demo, DemoError, DemoOptions

pytestmark = pytest.mark.integration

EVENTS = 4_000
TABLES = ("views", "reactions", "viewings", "current_reactions", "films")
"""Those that a test tampers with."""


@dataclass(frozen=True)
class Played:
    """A demo whose day is there; its tables are also kept aside, as they were."""

    demo: Demo
    day: ReplayedDay
    report_file: Path
    looked: list[Analyst]

    def reports(self) -> tuple[Report, dict[Name, tuple[Value, Value]]]:
        """The report, and its differences: expected and found by figure."""
        report = self.demo.conclude(self.day)
        return report, {d.figure: (d.expected, d.found) for d in report.differences}

    def restore(self) -> None:
        for table in TABLES:
            columns = "* REPLACE (now() + 60 AS _insert_by)" if table in RAW else "*"
            self.day.admin.execute(f"TRUNCATE TABLE ugc.{table}")
            self.day.admin.execute(f"INSERT INTO ugc.{table} SELECT {columns} FROM kept.{table}")


RAW = ("views", "reactions")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("demo")
    looked: list[Analyst] = []
    options = DemoOptions(
        data_dir=folder / "data",
        report=folder / "reports" / "demo.json",
        events=EVENTS,
        before_comparison=looked.append,
    )
    with (folder / "out.txt").open("w") as out:
        demo = Demo(options, os.environ, Console(file=out))
        with demo.replayed() as day:
            day.admin.execute("CREATE DATABASE kept")
            for table in TABLES:
                day.admin.execute(
                    f"CREATE TABLE kept.{table} ENGINE = MergeTree ORDER BY tuple() "
                    f"AS SELECT * FROM ugc.{table}"
                )
            yield Played(demo, day, options.report, looked)
    assert not [
        process
        for process in psutil.Process().children(recursive=True)
        if str(folder) in " ".join(process.cmdline())
    ]


@pytest.fixture
def tampered(played: Played) -> Iterator[Played]:
    """Put right behind the test."""
    yield played
    played.restore()


def test_a_day_matches_the_truth(played: Played) -> None:
    report, differences = played.reports()
    assert report.match, differences
    assert played.looked == [played.day.admin]
    figures = json.loads(played.report_file.read_text())
    assert figures["match"] is True
    assert figures["events_sent"] == EVENTS
    assert 0 < figures["events_visible"] < figures["rows"] == figures["accepted"]
    assert figures["rejected"] == EVENTS - figures["accepted"] > 0
    assert figures["dead_letters"] > 0
    assert 0 < figures["freshness_p50_s"] <= figures["freshness_p99_s"]
    assert {"kafka", "clickhouse", "api", "etl-1", "etl-2"} < set(figures["peak_rss_mib"])
    replayed = figures["peak_rss_mib_up_to"]["replayed"]
    assert all(0 < mib <= figures["peak_rss_mib"][name] for name, mib in replayed.items())


PLACE = "_topic_id, _partition, _offset"
ONE_TICK = f"""({PLACE}) IN (
    SELECT {PLACE} FROM ugc.views
    WHERE event_id IN (SELECT event_id FROM ugc.views GROUP BY event_id HAVING count() = 1)
    LIMIT 1
)"""
TICKS = ("views", "view_progress")


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        (f"DELETE FROM ugc.views WHERE {ONE_TICK}", {("rows", *TICKS): -1, ("events", *TICKS): -1}),
        (
            "INSERT INTO ugc.views SELECT * REPLACE (now() + 60 AS _insert_by) FROM ugc.views "
            f"WHERE {ONE_TICK}",
            {("rows", *TICKS): 1},
        ),
    ],
    ids=["too few", "too many"],
)
def test_one_row_too_few_or_too_many_is_found(
    tampered: Played, statement: str, changes: dict[Name, int]
) -> None:
    tampered.day.admin.execute(statement)
    report, differences = tampered.reports()
    assert not report.match
    assert {name: found - expected for name, (expected, found) in differences.items()} == changes
    assert json.loads(tampered.report_file.read_text())["match"] is False


def test_a_lost_viewing_is_found(tampered: Played) -> None:
    """In the mart alone: the raw rows are all there."""
    viewing = "(content_id, viewer)"
    (row,) = tampered.day.admin.ask("SELECT content_id, viewer FROM ugc.viewings LIMIT 1")
    film, viewer = row["content_id"], row["viewer"]
    tampered.day.admin.execute(f"DELETE FROM ugc.viewings WHERE {viewing} = ('{film}', {viewer})")
    _, differences = tampered.reports()
    assert ("film", film, "viewers") in differences
    assert ("film", film, "watched_minutes") in differences
    assert {name[1] for name in differences if name[0] == "film"} == {film}


@pytest.mark.parametrize(
    ("column", "value", "figure"),
    [("duration_ms", "duration_ms + 600000", "film_minutes"), ("title", "'Another'", "title")],
)
def test_a_wrong_catalogue_is_found(tampered: Played, column: str, value: str, figure: str) -> None:
    (row,) = tampered.day.admin.ask("SELECT content_id FROM analytics.most_watched LIMIT 1")
    film = row["content_id"]
    tampered.day.admin.execute(
        f"INSERT INTO ugc.films SELECT * REPLACE ({value} AS {column}, "
        f"updated_at + 1 AS updated_at) FROM ugc.films FINAL WHERE content_id = '{film}'"
    )
    _, differences = tampered.reports()
    assert ("film", film, figure) in differences
    assert {name[1] for name in differences if name[0] == "film"} == {film}


def test_an_altered_score_is_found(tampered: Played) -> None:
    """A rating of the same viewer and film, a moment later, with another score."""
    tampered.day.admin.execute(
        "INSERT INTO ugc.reactions SELECT * REPLACE (now() + 60 AS _insert_by, "
        "addMilliseconds(occurred_at, 1) AS occurred_at, "
        "if(score > 5, score - 1, score + 1) AS score) "
        "FROM ugc.reactions WHERE type = 'rating' AND isNotNull(score) "
        "AND (user_id, content_id) IN (SELECT user_id, content_id FROM ugc.reactions "
        "WHERE type = 'rating' GROUP BY user_id, content_id HAVING count() = 1) "
        "ORDER BY occurred_at DESC LIMIT 1"
    )
    _, differences = tampered.reports()
    (average,) = (name for name in differences if name[-1] == "rating_average")
    assert set(differences) == {average, ("rows", "reactions", "rating")}


def test_a_dead_letter_too_many_is_found(played: Played) -> None:
    """Last: what Kafka has, it keeps."""
    kafka = played.day.kafka
    record = next(kafka.read_all(DEAD_LETTERS_TOPIC))
    headers = [(name, value or b"") for name, value in record.headers]
    kafka.produce_raw(DEAD_LETTERS_TOPIC, [(b"another", record.value, headers)])
    _, differences = played.reports()
    ((figure, (expected, found)),) = differences.items()
    assert figure[0] == "dead letters"
    assert isinstance(expected, int)
    assert found == expected + 1


def test_a_report_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = DemoOptions(data_dir=tmp_path / "data", report=tmp_path / "file" / "demo.json")
    with (tmp_path / "out.txt").open("w") as out, pytest.raises(DemoError, match="cannot be writ"):
        Demo(options, os.environ, Console(file=out)).run()
    assert not (tmp_path / "data").exists()
