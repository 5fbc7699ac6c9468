"""In processes of their own: what signals do to this one is pytest's."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time
from ugc_local.interruption import Interruption
interruption = Interruption()
interruption.listen()
try:
    print("working", flush=True)
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    print("stopping", flush=True)
    sys.stdin.readline()
    with open(sys.argv[1], "w") as file:
        file.write("stopped")
    sys.exit(interruption.exit_status)
"""

# Pytest itself may run under nohup, and what is ignored is handed down.
NOT_UNDER_NOHUP = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"


def start(tmp_path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", NOT_UNDER_NOHUP + PROGRAM, str(tmp_path / "note")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert line(process) == "working\n"
    return process


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_unwinds_and_the_next_do_not_disturb_that(tmp_path, number):
    with start(tmp_path) as process:
        process.send_signal(number)
        assert line(process) == "stopping\n"
        for another in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(another)
        process.communicate("go on\n", timeout=60)
    assert (tmp_path / "note").read_text() == "stopped"
    assert process.returncode == 128 + number


def test_a_closed_terminal_unwinds_without_a_word_to_it(tmp_path):
    with start(tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate("go on\n", timeout=60)
    assert out == ""
    assert (tmp_path / "note").read_text() == "stopped"
    assert process.returncode == 128 + signal.SIGHUP


def test_under_nohup_a_closed_terminal_is_nothing(tmp_path):
    ignoring = ["sh", "-c", 'trap "" HUP && exec "$@"', "sh"]
    process = subprocess.Popen(
        [*ignoring, sys.executable, "-c", PROGRAM, str(tmp_path / "note")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert line(process) == "working\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert line(process) == "stopping\n"
        process.communicate("go on\n", timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
