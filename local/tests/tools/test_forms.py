"""The tools on a stack that runs, as a person and as a script meet them."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from click.testing import CliRunner
from ugc_events import FAMILIES
from ugc_local.commands import ugc
from ugc_local.deadline import Deadline
from ugc_local.guide import films
from ugc_local.tools.examples import event_types, example

pytestmark = pytest.mark.integration


class Tool:
    """Runs commands on the session's stack, as a viewer of its own."""

    def __init__(self, platform):
        self.data_dir = str(platform.data_dir)
        self.viewer = str(uuid4())

    def __call__(self, command, *arguments, stdin="", environ=None):
        return subprocess.run(
            [sys.executable, "-m", "ugc_local", command, "--data-dir", self.data_dir, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(environ or {})},
        )

    def count(self, table):
        sql = f"SELECT count() FROM ugc.{table} WHERE user_id = '{self.viewer}'"
        return int(self("query", sql, "--format", "TSV").stdout)


@pytest.fixture
def tool(platform):
    return Tool(platform)


def test_every_example_arrives_as_a_row(tool):
    now, (film, *_) = datetime.now(UTC), films()
    lines = [json.dumps(example(kind, film, now)) for kind in event_types().values()]
    done = tool("send", "--user", tool.viewer, stdin="\n".join(lines))
    sent = f"{len(lines)} sent: {len(lines)} accepted, 0 refused\n"
    assert (done.returncode, done.stdout) == (0, sent), done.stderr
    tables = [family.table for family in FAMILIES]
    assert Deadline.after(60).poll(
        lambda: sum(map(tool.count, tables)) == len(lines), interval_s=0.5
    )


def test_what_is_refused_is_told_line_by_line_and_the_rest_arrives(tool, tmp_path):
    good = tool("send", "--dry-run", "--example", "bookmark").stdout.strip()
    wrong = json.dumps({**json.loads(good), "event_id": str(uuid4()), "bookmarked": 7})
    file = tmp_path / "events.jsonl"
    file.write_text(f"{good}\n{wrong}\nnonsense\n")
    done = tool("send", str(file), "--user", tool.viewer)
    assert done.returncode == 1
    refused, broken, summary = done.stdout.splitlines()
    assert refused.startswith("line 2: bookmarked: wrong_type: expected bool")
    assert broken.startswith("line 3: event: not_json: ")
    assert summary == "3 sent: 1 accepted, 2 refused"
    assert Deadline.after(60).poll(lambda: tool.count("reactions") == 1, interval_s=0.3)
    again = tool("send", "-", "--user", tool.viewer, stdin=f"[{good}]")
    assert (again.returncode, again.stdout) == (0, "1 sent: 1 accepted, 0 refused\n")


def test_a_question_by_argument_by_pipe_and_in_any_format(tool):
    assert tool("query", "SELECT 1 AS a, 'x' AS b").stdout == "a\tb\n1\tx\n"
    assert tool("query", stdin="SELECT 1 AS a").stdout == "a\n1\n"
    assert tool("query", "SELECT 1 AS a", "--format", "JSONEachRow").stdout == '{"a":1}\n'
    assert tool("query", "SELECT 1 AS a FORMAT CSV").stdout == "1\n"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELEKT 1", 62),
        ("SELECT nothing_of_that_name", 47),
        ("DROP TABLE ugc.views", 164),
        ("SELECT 1 FORMAT Nonsense", 73),
        (
            "SELECT throwIf(number = 400000) FROM numbers(500000) SETTINGS max_block_size = 1000",
            395,
        ),
    ],
)
def test_a_failure_is_the_servers_sentence_on_stderr(tool, sql, code):
    done = tool("query", sql)
    assert done.returncode == 1
    assert done.stderr.startswith(f"failed: Code: {code}. DB::Exception: ")
    assert "DB::Exception" not in done.stdout


def test_no_statement_is_said(tool):
    done = tool("query", stdin=" \n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no statement" in done.stderr


def test_status_for_people_and_for_programs(tool, platform):
    done = tool("status")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[-1] == "all is well"
    for name in ("clickhouse", "kafka", "api", "etl-1", "etl-2"):
        assert any(line.startswith(f"{name} ") for line in done.stdout.splitlines())
    found = json.loads(tool("status", "--json").stdout)
    assert found["healthy"]
    assert found["problems"] == []
    assert found["kafka_version"].count(".") == 2
    assert found["clickhouse_version"].count(".") >= 2
    by_name = {process["name"]: process for process in found["processes"]}
    assert by_name["api"]["address"] == platform.endpoints.api_url
    assert all(process["memory_bytes"] > 10 << 20 for process in found["processes"])
    assert all(family["lag"] is not None for family in found["families"])


def on_a_terminal(words: list[str], environ: dict[str, str]) -> str:
    """What a command writes to a terminal that understands colours."""
    reader, writer = pty.openpty()
    with subprocess.Popen(words, stdout=writer, stderr=writer, stdin=writer, env=environ):
        os.close(writer)
        found = b""
        try:
            while piece := os.read(reader, 4096):
                found += piece
        except OSError:  # how Linux says that the last writer has gone
            pass
    os.close(reader)
    return found.decode()


def test_a_terminal_gets_a_table_and_colours_unless_it_wants_none(tool):
    words = [sys.executable, "-m", "ugc_local"]
    ask = [*words, "query", "--data-dir", tool.data_dir, "SELECT 1 AS a"]
    plain = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    colourful = {**plain, "TERM": "xterm-256color"}
    assert "┌─\x1b[1ma\x1b[0m─┐" in on_a_terminal(ask, colourful)
    assert "┌─a─┐" in on_a_terminal(ask, {**colourful, "NO_COLOR": "1"})
    status = [*words, "status", "--data-dir", tool.data_dir]
    assert "\x1b[32mall is well" in on_a_terminal(status, colourful)
    assert "\x1b[3" not in on_a_terminal(status, {**colourful, "NO_COLOR": "1"})


def test_a_reader_that_leaves_early_is_no_failure(tool):
    command = f"'{sys.executable}' -m ugc_local query --data-dir '{tool.data_dir}'"
    sql = "SELECT number FROM numbers(900000)"
    script = f"{{ {command} '{sql}'; echo status $? >&2; }} | head -1"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "number\n"
    assert done.stderr == "status 141\n"


def test_logs_name_their_process(tool):
    done = tool("logs", "-n", "1", "api", "kafka")
    assert done.returncode == 0
    assert [line.partition("|")[0].strip() for line in done.stdout.splitlines()][-1] == "api"
    done = tool("logs", "nobody")
    assert done.returncode == 1
    assert "no log of nobody in" in done.stderr


def test_up_and_down_are_refused_while_the_stack_is_in_the_foreground(tool):
    for command in ("up", "down"):
        done = tool(command)
        assert done.returncode == 1
        assert "another command is at work" in done.stderr


@pytest.mark.parametrize("name", ["up", "down", "status", "send", "query", "logs", "demo"])
def test_every_command_explains_itself(name):
    for flag in ("-h", "--help"):
        shown = CliRunner().invoke(ugc, [name, flag])
        assert shown.exit_code == 0
        assert shown.output.startswith(f"Usage: ugc {name} ")
        assert "--data-dir" in shown.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["send", "--example", "nothing"], "'nothing' is not one of"),
        (["send", "/no/such/file"], "No such file"),
        (["send", "--user", "me"], "not a valid UUID"),
        (["up", "--api-port", "0"], "0 is not in the range"),
        (["logs", "-n", "-1"], "-1 is not in the range"),
        (["stauts"], "No such command 'stauts'"),
    ],
)
def test_a_form_that_is_filled_in_wrongly(words, sentence):
    shown = CliRunner().invoke(ugc, words)
    assert shown.exit_code == 2
    assert sentence in shown.output
