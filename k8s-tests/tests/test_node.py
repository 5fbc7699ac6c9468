"""The node of our own comes and goes: whoever asked for it leaves, or is killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from ugc_cluster import debian, node

sys.path.insert(0, str(Path(__file__).parent))
from traces import traces

K8S_TESTS = Path(__file__).parents[1]
GONE_S = 30.0
# Asks for a node, says where it is, and waits for its end.
OWNER = """
import os, pathlib, signal, sys
from ugc_cluster import debian, images, node, programs
tools = debian.tools(os.environ, print)
built = programs.programs(os.environ, print)
system = images.Builder(os.environ, tools.environ(os.environ), print).system_archives(built)
with node.running(pathlib.Path(sys.argv[1]), programs=built, tools=tools, system_archives=system,
                  environ=os.environ, on_step=print) as cluster:
    print("up", cluster.kubeconfig, flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def machine() -> Mapping[str, str]:
    return debian.tools(os.environ, print).environ(os.environ)


@contextlib.contextmanager
def owner_of_a_node(state: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(state)],
        env={**os.environ, "PYTHONPATH": str(K8S_TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        said = []
        for line in owner.stdout:
            said.append(line)
            if line.startswith("up "):
                break
        else:
            pytest.fail(f"no node: {said}")
        try:
            yield owner
        finally:
            owner.kill()  # of one that has ended: nothing


def require_gone(before: set[str], now: Callable[[], set[str]]) -> None:
    began = time.monotonic()
    while left := now() - before:
        assert time.monotonic() - began < GONE_S, "\n".join(sorted(left))
        time.sleep(0.2)


def only_processes(found: set[str]) -> set[str]:
    """But for the owner's own, which is in the list of what there is."""
    return {line for line in found if line.startswith("process") and "node.running" not in line}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["told", "killed"])
def test_nothing_is_left_of_a_node(
    end: signal.Signals, machine: Mapping[str, str], tmp_path: Path
) -> None:
    before = traces(machine, tmp_path)
    with owner_of_a_node(tmp_path) as owner:
        during = traces(machine, tmp_path) - before
        owner.send_signal(end)
        owner.wait(GONE_S)
    assert any("kube-apiserver" in line for line in during)
    assert {line.split()[0] for line in during} == {"process", "control", "folder"}
    require_gone(before, lambda: traces(machine, tmp_path))


@pytest.mark.timeout(3600)
def test_a_killed_guard_takes_the_node_with_it(machine: Mapping[str, str], tmp_path: Path) -> None:
    before = traces(machine, tmp_path)
    with owner_of_a_node(tmp_path) as owner:
        (pid_file,) = tmp_path.glob("*/guard.pid")
        os.kill(int(pid_file.read_text("utf-8")), signal.SIGKILL)
        require_gone(before, lambda: only_processes(traces(machine, tmp_path)))
        owner.send_signal(signal.SIGINT)
        owner.wait(GONE_S)
    # The folder and the control groups are the next node's to take away.
    node.sweep(tmp_path)
    require_gone(before, lambda: traces(machine, tmp_path))
