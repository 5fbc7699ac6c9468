"""The whole demo, small: real broker, real engine, real services."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from ugc_local.demo.analyst import Analyst
from ugc_local.demo.report import Report
from ugc_local.demo.run import Demo, DemoOptions

pytestmark = pytest.mark.integration

EVENTS = 2_000
PLACE = "_topic_id, _partition, _offset"
ONE_ROW = f"({PLACE}) IN (SELECT {PLACE} FROM ugc.views LIMIT 1)"


def play(folder: Path, before_comparison: Callable[[Analyst], None]) -> Report:
    options = DemoOptions(
        data_dir=folder / "data",
        report=folder / "reports" / "demo.json",
        events=EVENTS,
        before_comparison=before_comparison,
    )
    with (folder / "out.txt").open("w") as out:
        return Demo(options, os.environ, Console(file=out)).run()


def test_a_day_matches_the_truth_and_leaves_nothing_running(tmp_path: Path) -> None:
    report = play(tmp_path, lambda _admin: None)
    assert report.match, report.differences
    figures = json.loads((tmp_path / "reports" / "demo.json").read_text())
    assert figures["match"] is True
    assert figures["events_sent"] == EVENTS
    assert 0 < figures["events_visible"] < figures["rows"] == figures["accepted"]
    assert figures["rejected"] == EVENTS - figures["accepted"] > 0
    assert figures["dead_letters"] > 0
    assert figures["freshness_p50_s"] <= figures["freshness_p99_s"]
    assert {"kafka", "clickhouse", "api", "etl-1", "etl-2"} < set(figures["peak_rss_mib"])
    assert not [
        process
        for process in psutil.Process().children(recursive=True)
        if str(tmp_path) in " ".join(process.cmdline())
    ]


def delete_a_row(admin: Analyst) -> None:
    admin.execute(f"DELETE FROM ugc.views WHERE {ONE_ROW}")


def double_a_row(admin: Analyst) -> None:
    admin.execute(
        "INSERT INTO ugc.views SELECT * REPLACE (now() + 60 AS _insert_by) FROM ugc.views "
        f"WHERE {ONE_ROW}"
    )


@pytest.mark.parametrize(("tamper", "change"), [(delete_a_row, -1), (double_a_row, 1)])
def test_one_row_too_few_or_too_many_is_found(
    tmp_path: Path, tamper: Callable[[Analyst], None], change: int
) -> None:
    report = play(tmp_path, tamper)
    assert not report.match
    rows = {d.figure: d for d in report.differences}["rows", "views", "view_progress"]
    assert isinstance(rows.expected, int)
    assert rows.found == rows.expected + change
    assert json.loads((tmp_path / "reports" / "demo.json").read_text())["match"] is False
