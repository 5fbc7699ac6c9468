"""What a person at a terminal meets: sentences and statuses, never a traceback."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from ugc_local.deadline import Deadline
from ugc_local.state import read_state

pytestmark = pytest.mark.integration


def ugc(*arguments: str | Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ugc_local", *map(str, arguments)],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # The whole group gets a signal, as from a terminal, and it is not pytest's.
        start_new_session=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=240)
    assert "Traceback" not in out
    return out


def running_in(data_dir: Path) -> list[int]:
    seen = [process.info for process in psutil.process_iter(["pid", "cwd", "status"])]
    here = [info for info in seen if (info["cwd"] or "").startswith(str(data_dir))]
    return [info["pid"] for info in here if info["status"] != psutil.STATUS_ZOMBIE]


def stores_run(data_dir: Path) -> bool:
    state = read_state(data_dir) if data_dir.exists() else None
    return state is not None and len(state.processes) == 2


@pytest.mark.parametrize("command", ["up", "demo"])
def test_interrupted_twice_while_it_starts(tmp_path: Path, command: str) -> None:
    with ugc(command, "--data-dir", tmp_path / "data") as process:
        assert Deadline.after(60).poll(lambda: stores_run(tmp_path / "data"))
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
        out = said(process)
    assert out.endswith("interrupted; nothing is left running\n")
    assert process.returncode == 128 + signal.SIGINT
    assert not running_in(tmp_path)
    assert read_state(tmp_path / "data") is None


@pytest.mark.parametrize(
    ("command", "moment"),
    [("up", "starting ClickHouse"), ("up", "waiting for Kafka"), ("demo", "migrating")],
)
def test_killed_while_it_starts(tmp_path: Path, command: str, moment: str) -> None:
    """Only what is complete outlives `up`, and of a demo nothing."""
    with ugc(command, "--data-dir", tmp_path / "data", PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        assert any(moment in line for line in process.stdout)
        process.kill()
    assert Deadline.after(60).poll(lambda: not running_in(tmp_path), interval_s=0.1)


def test_interrupted_before_anything_runs(tmp_path: Path) -> None:
    """While it imports: there is nothing to unwind, and nothing to read."""
    with ugc("down", "--data-dir", tmp_path, PYTHONPROFILEIMPORTTIME="1") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if re.search(r"\| +click\.", line):
                break
        os.killpg(process.pid, signal.SIGINT)
        said(process)
    assert process.returncode in {-signal.SIGINT, 128 + signal.SIGINT}


def test_the_data_of_anything_else_are_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    report = tmp_path.with_name("demo.json")
    with ugc("demo", "--data-dir", tmp_path, "--report", report) as process:
        out = said(process)
    assert re.search(r"^failed: .* is not empty, and not the directory of a stack", out)
    assert process.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("command", ["status", "send", "query", "logs"])
def test_nothing_runs(tmp_path: Path, command: str) -> None:
    arguments = {"send": ["--example", "rating"], "query": ["SELECT 1"]}.get(command, [])
    with ugc(command, "--data-dir", tmp_path / "data", *arguments) as process:
        out = said(process)
    if command == "logs":
        assert re.search(r"^failed: .* has no logs: nothing was ever started there$", out)
    else:
        assert re.search(r"nothing runs on .*: start it with \.venv/bin/ugc up --data-dir", out)
    assert process.returncode == (3 if command == "status" else 1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["up", "demo", "down"])
def test_a_directory_that_cannot_be_used(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    with ugc(command, "--data-dir", tmp_path / "file" / "data") as process:
        out = said(process)
    if command == "down":
        assert out.startswith("nothing was running")
    else:
        assert re.search(r"^failed: .*Not a directory", out)
        assert process.returncode == 1


def test_a_clickhouse_that_is_not_there(tmp_path: Path) -> None:
    with ugc("up", "--data-dir", tmp_path / "data", CLICKHOUSE_BIN="/nowhere/clickhouse") as up:
        out = said(up)
    assert re.search(r"^failed: .*CLICKHOUSE_BIN.*/nowhere/clickhouse", out, re.MULTILINE)
    assert up.returncode == 1
    assert not running_in(tmp_path)


def test_kafka_that_cannot_be_had(tmp_path: Path) -> None:
    away = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    here = dict.fromkeys(("NO_PROXY", "no_proxy"), "")
    home = str(tmp_path / "m2")
    with ugc("up", "--data-dir", tmp_path / "data", M2_REPO=home, **away, **here) as up:
        out = said(up)
    assert "failed: Apache Kafka" in out
    assert "could not be fetched from Maven Central into it (M2_REPO chooses another" in out
    assert up.returncode == 1
    assert not running_in(tmp_path)


def test_a_disk_that_is_full_when_the_stores_come(tmp_path: Path) -> None:
    """A limit of the size of files stands for it: the stores meet the same failing writes."""
    words = 'ulimit -f 2000 && exec "$0" -m ugc_local up --data-dir "$1"'
    up = subprocess.run(
        ["/bin/sh", "-c", words, sys.executable, tmp_path / "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert up.returncode == 1
    assert re.search(r"^failed: \w+ .*The disk is full: free some of it", up.stdout, re.MULTILINE)
    assert "File too large" in up.stdout
    assert "Traceback" not in up.stdout
    assert not running_in(tmp_path)


def test_the_page_that_up_prints_works_as_it_is_pasted(tmp_path: Path) -> None:
    with ugc("up", "--data-dir", tmp_path / "data") as up:
        page = said(up)
    assert up.returncode == 0
    try:
        exports = re.findall(r"^  (export .*)$", page, re.MULTILINE)
        sending, *asking = re.findall(r"^  (curl (?:.*\\\n)*.*)$", page, re.MULTILINE)
        assert len(asking) == 3

        def paste(command: str) -> str:
            script = "\n".join([*exports, command])
            return subprocess.run(
                ["/bin/sh", "-ec", script], stdout=subprocess.PIPE, text=True, check=True
            ).stdout

        assert json.loads(paste(sending))["accepted"] == 1
        assert Deadline.after(60).poll(lambda: "view_progress" in paste(asking[-1]), interval_s=0.2)
        for question in asking[:-1]:
            assert "The Last Lighthouse Keeper" in paste(question)
    finally:
        with ugc("down", "--data-dir", tmp_path / "data") as down:
            out = said(down)
    assert out.endswith("stopped\n")
    assert not running_in(tmp_path)
