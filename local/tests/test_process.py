import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ugc_local.deadline import Deadline
from ugc_local.process import (
    Guard,
    Process,
    ProcessExitedError,
    ProcessIdentity,
    stop_all,
    stop_trees,
    tree_memory_bytes,
)

# Says so when it is ready, then waits to be stopped.
QUIET = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + QUIET
# A parent whose child ignores SIGTERM, as a worker that hangs would.
FAMILY = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def start(tmp_path: Path, code: str, name: str = "child", guard: Guard | None = None) -> Process:
    return Process(
        name,
        [sys.executable, "-c", code],
        log=tmp_path / f"{name}.log",
        environ=os.environ,
        cwd=tmp_path,
        guard=guard,
    )


def first_line(process: Process) -> str:
    assert Deadline.after(60).poll(lambda: process.log.read_text().endswith("\n"))
    return process.log.read_text().splitlines()[0]


def test_a_child_gets_its_environment_directory_and_log(tmp_path):
    code = "import os; print(os.environ['COLOUR'], os.getcwd())"
    process = Process(
        "child",
        [sys.executable, "-c", code],
        log=tmp_path / "logs" / "child.log",
        environ={"COLOUR": "teal"},
        cwd=tmp_path,
    )
    assert process.wait(Deadline.after(60)) == 0
    assert process.log.read_text() == f"teal {tmp_path}\n"


def test_stop_asks_first(tmp_path):
    process = start(tmp_path, QUIET)
    first_line(process)
    process.stop(grace_s=20)
    assert process.exit_status() == -signal.SIGTERM
    assert not process.identity.is_alive()


def test_stop_escalates_when_asking_does_not_help(tmp_path):
    process = start(tmp_path, STUBBORN)
    first_line(process)
    process.stop(grace_s=0.2)
    assert process.exit_status() == -signal.SIGKILL


def test_stop_leaves_no_descendant(tmp_path):
    process = start(tmp_path, FAMILY)
    child = ProcessIdentity.of(int(first_line(process)))
    process.stop(grace_s=20)
    assert not process.identity.is_alive()
    assert not child.is_alive()


def test_stopping_what_has_ended_is_nothing(tmp_path):
    process = start(tmp_path, "pass")
    process.wait(Deadline.after(60))
    stop_all([process], grace_s=0)
    assert process.exit_status() == 0


def test_an_exit_is_reported_with_this_runs_last_lines(tmp_path):
    (tmp_path / "child.log").write_text("of an earlier run\n")
    process = start(tmp_path, "print('no such table'); raise SystemExit(7)")
    process.wait(Deadline.after(60))
    with pytest.raises(ProcessExitedError) as caught:
        process.require_running()
    message = str(caught.value)
    assert "child exited with status 7" in message
    assert "no such table" in message
    assert "earlier run" not in message


JAVA = """
print("java.io.IOException: No space left on device")
for _ in range(30):
    print("\\tat kafka.server.KafkaRaftServer.$anonfun$startup$1(KafkaRaftServer.scala:94)")
print("\\t... 12 more")
"""


def test_a_full_disk_is_told_from_under_a_stack_trace(tmp_path):
    process = start(tmp_path, JAVA)
    process.wait(Deadline.after(60))
    with pytest.raises(ProcessExitedError, match="The disk is full: free some") as caught:
        process.require_running()
    assert str(caught.value).endswith("\n  java.io.IOException: No space left on device")


def test_a_death_by_signal_is_named(tmp_path):
    process = start(tmp_path, QUIET)
    process.require_running()
    process.kill()
    with pytest.raises(ProcessExitedError, match="child ended by SIGKILL"):
        process.require_running()


def test_waiting_too_long_quotes_the_log(tmp_path):
    process = start(tmp_path, QUIET)
    first_line(process)
    with pytest.raises(TimeoutError, match=r"(?s)child still runs.*ready"):
        process.wait(Deadline.after(0))
    process.stop(grace_s=20)


def test_a_pid_of_another_time_is_not_stopped(tmp_path):
    process = start(tmp_path, QUIET)
    stranger = ProcessIdentity(process.pid, process.identity.created_s - 3600)
    assert not stranger.is_alive()
    stop_trees([stranger], grace_s=0)
    assert process.exit_status() is None
    process.stop(grace_s=20)


PARENT = """
import json, os, signal, sys
from pathlib import Path
from ugc_local.process import Guard, Process
guard = Guard(grace_s=0.5) if sys.argv[1] == "guarded" else None
children = [
    Process(name, [sys.executable, "-c", code], log=Path(f"{name}.log"), environ=os.environ,
            cwd=Path.cwd(), guard=guard)
    for name, code in json.loads(sys.argv[2]).items()
]
print(json.dumps([[c.identity.pid, c.identity.created_s] for c in children]), flush=True)
signal.pause()
"""


def run_parent(tmp_path: Path, mode: str, **children: str) -> list[ProcessIdentity]:
    """Start a parent of these children, kill it with SIGKILL, return the children."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, mode, json.dumps(children)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        identities = [ProcessIdentity(*pair) for pair in json.loads(parent.stdout.readline())]
        assert all(identity.is_alive() for identity in identities)
        parent.kill()
    return identities


def test_a_killed_parent_leaves_no_orphan(tmp_path):
    children = run_parent(tmp_path, "guarded", quiet=QUIET, stubborn=STUBBORN, family=FAMILY)

    def running_here() -> list[int]:
        seen = [process.info for process in psutil.process_iter(["pid", "cwd", "status"])]
        here = [info for info in seen if info["cwd"] == str(tmp_path)]
        return [info["pid"] for info in here if info["status"] != psutil.STATUS_ZOMBIE]

    # Longer than the guard's grace for a stubborn one; the guard itself goes last.
    assert Deadline.after(60).poll(lambda: not running_here())
    assert not any(child.is_alive() for child in children)


def test_a_detached_child_outlives_its_parent(tmp_path):
    children = run_parent(tmp_path, "detached", quiet=QUIET)
    assert all(child.is_alive() for child in children)
    stop_trees(children, grace_s=20)
    assert not any(child.is_alive() for child in children)


def test_a_child_does_nothing_until_the_guard_knows_it(tmp_path):
    """Its starter dies between starting it and telling the guard: the child never runs."""
    code = """
import os, signal, sys
from pathlib import Path
from ugc_local.process import Process
class DeadlyGuard:
    def watch(self, identity):
        print(identity.pid, repr(identity.created_s), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
Process("child", ["touch", "ran"], log=Path("log"), environ=os.environ, cwd=Path.cwd(),
        guard=DeadlyGuard())
"""
    parent = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, check=False, text=True
    )
    assert parent.returncode == -signal.SIGKILL
    pid, created_s = parent.stdout.split()
    child = ProcessIdentity(int(pid), float(created_s))
    assert Deadline.after(60).poll(lambda: not child.is_alive())
    assert not (tmp_path / "ran").exists()


def test_closing_the_guard_stops_what_still_runs(tmp_path):
    with Guard() as guard:
        process = start(tmp_path, QUIET, guard=guard)
        first_line(process)
    assert not process.identity.is_alive()
    assert process.wait(Deadline.after(60)) == -signal.SIGTERM


def test_a_guard_that_stays_keeps_logs_short_until_all_have_ended(tmp_path):
    chatter = "import time\nwhile True: print('x' * 999, flush=True); time.sleep(0.001)"
    guard = Guard()
    process = start(tmp_path, chatter, guard=guard)
    keeper = guard.identity
    guard.release([process.log], max_log_bytes=20_000)
    cut_off = tmp_path / "child.log.1"
    assert Deadline.after(60).poll(cut_off.exists)
    assert process.identity.is_alive()
    # Whole lines, and the writer goes on behind the cut.
    assert set(cut_off.read_text().splitlines()) == {"x" * 999}
    assert Deadline.after(60).poll(lambda: process.log.stat().st_size > 0)
    assert process.log.read_bytes().startswith(b"x")
    process.stop(grace_s=20)
    assert Deadline.after(60).poll(lambda: not keeper.is_alive())


def test_a_process_is_known_by_its_start_however_the_clock_is_set(tmp_path):
    process = start(tmp_path, QUIET)
    assert ProcessIdentity.of(process.pid) == process.identity
    assert process.identity.is_alive()
    uptime_s = time.time() - psutil.boot_time()
    assert sys.platform != "linux" or 0 < process.identity.created_s <= uptime_s + 2
    process.stop(grace_s=20)


LEADERLESS = """
import ctypes, threading, time
def outlive():
    print("ready", flush=True)
    time.sleep(600)
threading.Thread(target=outlive).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_runs_while_any_of_its_threads_does(tmp_path):
    """As a JVM that was killed, on a busy machine: its port is taken until the last has gone."""
    process = start(tmp_path, LEADERLESS)
    first_line(process)
    if sys.platform == "linux":  # elsewhere the first thread has no state of its own
        first = psutil.Process(process.pid)
        assert Deadline.after(60).poll(lambda: first.status() == psutil.STATUS_ZOMBIE)
    assert process.identity.is_alive()
    process.stop(grace_s=20)
    assert not process.identity.is_alive()


def test_memory_is_that_of_the_whole_tree(tmp_path):
    process = start(tmp_path, FAMILY)
    first_line(process)
    root = psutil.Process(process.pid)
    (child,) = root.children()
    alone = root.memory_info().rss
    assert tree_memory_bytes(root) >= alone + child.memory_info().rss * 0.9
    process.stop(grace_s=20)
