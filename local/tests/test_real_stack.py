"""`ugc` on the real thing: crashes of one and of all, going on with the data, two side by side."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ugc_local.deadline import Deadline
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.state import StackState, read_state

pytestmark = pytest.mark.integration


class Ugc:
    """The command with one data directory; keeps what it said."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def __call__(self, command: str, *arguments: str) -> str:
        """What it printed; it must end with 0."""
        done = self.run(command, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "ugc_local", command, "--data-dir", self.data_dir, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    @property
    def state(self) -> StackState:
        found = read_state(self.data_dir)
        assert found is not None
        return found

    def kill(self, *names: str) -> None:
        """SIGKILL to the processes of these names at once, to all without one."""
        for record in self.state.processes:
            if record.name in names or not names:
                os.kill(record.pid, signal.SIGKILL)

    def rows(self) -> int:
        return int(self("query", "SELECT sum(rows) FROM analytics.events", "--format", "TSV"))


@pytest.fixture(scope="module")
def stacks(tmp_path_factory) -> Iterator[tuple[Ugc, Ugc]]:
    """Two, side by side, in paths that a shell has to quote; the second on ports of its choice."""
    root = tmp_path_factory.mktemp("двa $tacks")
    both = Ugc(root / "one"), Ugc(root / "the other")
    try:
        one, other = both
        page = one("up")
        assert one.state.endpoints.api_url in page
        api, http, native, kafka = free_ports(4)
        other(
            "up",
            *("--api-port", str(api), "--clickhouse-http-port", str(http)),
            *("--clickhouse-native-port", str(native), "--kafka-port", str(kafka)),
        )
        endpoints = other.state.endpoints
        assert endpoints.api_url == f"http://{LOOPBACK}:{api}"
        assert endpoints.clickhouse_http_url == f"http://{LOOPBACK}:{http}"
        assert endpoints.clickhouse_native_port == native
        assert endpoints.kafka_bootstrap == f"{LOOPBACK}:{kafka}"
        yield both
    finally:
        for ugc in both:
            ugc("down")
        seen = [process.info for process in psutil.process_iter(["cwd", "status"])]
        here = [info for info in seen if (info["cwd"] or "").startswith(str(root))]
        assert not [info for info in here if info["status"] != psutil.STATUS_ZOMBIE]


def test_two_stacks_work_and_share_no_address(stacks):
    one, other = stacks
    assert "1 accepted, 0 refused" in one("send", "--example", "view_progress")
    for ugc, rows in ((one, 1), (other, 0)):
        assert Deadline.after(60).poll(lambda ugc=ugc, rows=rows: ugc.rows() == rows)
        status = json.loads(ugc("status", "--json"))
        assert status["healthy"]
        assert {"etl-1", "etl-2", "kafka"} <= {found["name"] for found in status["processes"]}
        views = next(family for family in status["families"] if family["name"] == "views")
        assert (views["records"], views["rows"], views["dead_letters"]) == (rows, rows, 0)
    addresses = [
        {p["address"] for p in json.loads(u("status", "--json"))["processes"]} for u in stacks
    ]
    assert addresses[0] & addresses[1] == {""}  # the keeper of logs has none


def test_up_where_all_runs_says_how_to_use_it_and_changes_nothing(stacks):
    one, _ = stacks
    before = one.state
    done = one.run("up")
    assert done.returncode == 0
    assert "it runs already" in done.stderr
    assert before.endpoints.api_url in done.stdout
    assert one.state == before
    refused = one.run("up", "--consumers", "3")
    assert refused.returncode == 1
    assert "a stack already runs on" in refused.stderr


def test_a_consumer_that_died_is_told_and_mended_at_the_same_addresses(stacks):
    one, other = stacks
    before = one.state.endpoints
    rows = one.rows()
    one.kill("etl-1")
    status = one.run("status")
    assert status.returncode == 1
    assert "etl-1 has ended" in status.stdout
    up = one.run("up")
    assert up.returncode == 0
    assert "etl-1 had ended: starting everything again" in up.stderr
    assert one.state.endpoints == before
    assert json.loads(one("status", "--json"))["healthy"]
    assert one.rows() == rows
    assert json.loads(other("status", "--json"))["healthy"]


def test_everything_is_killed_at_once_and_goes_on_with_every_event_once(stacks):
    one, _ = stacks
    before, rows = one.state.endpoints, one.rows()
    example = json.loads(one("send", "--dry-run", "--example", "rating"))
    del example["event_id"]
    event = json.dumps(example) + "\n"
    sent = subprocess.run(
        [sys.executable, "-m", "ugc_local", "send", "--data-dir", one.data_dir],
        input=event * 300,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "300 accepted, 0 refused" in sent.stdout
    following = subprocess.Popen(
        [sys.executable, "-m", "ugc_local", "logs", "-f", "-n1", "--data-dir", one.data_dir, "api"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert following.stdout.readline().startswith("api |")  # from now on it follows
    # Accepted is durable: some are rows by now, some only records.
    one.kill()
    assert Deadline.after(60).poll(lambda: not one.state.alive())
    status = one.run("status")
    assert status.returncode == 3
    assert "an earlier run was not stopped in order" in status.stderr
    up = one.run("up")
    assert up.returncode == 0, up.stderr
    assert "going on with its data" in up.stderr
    with following:
        assert any("Booting worker" in line for line in following.stdout)
        following.send_signal(signal.SIGINT)
    assert following.returncode == 128 + signal.SIGINT
    assert one.state.endpoints == before
    assert Deadline.after(60).poll(lambda: one.rows() >= rows + 300, interval_s=0.5)
    status = json.loads(one("status", "--json"))
    assert [family["lag"] for family in status["families"]] == [0, 0, 0]
    assert sum(family["rows"] for family in status["families"]) == rows + 300
    assert sum(family["records"] for family in status["families"]) == rows + 300


def test_stopping_one_leaves_the_other_and_its_logs_stay(stacks):
    one, other = stacks
    assert one("down") == "stopped\n"
    assert one("down").startswith("nothing was running")
    assert json.loads(other("status", "--json"))["healthy"]
    logs = one("logs", "-n", "3")
    assert {line.split("|")[0].strip() for line in logs.splitlines()} >= {"api", "etl-1", "kafka"}
