"""Stands between who asked for a node and the node: `python -m ugc_cluster.guard DIRECTORY FD`.

It gives the node its namespaces and control groups, hands its own standard input and output on to
the node's first process, and when that has ended takes away what is left: the control groups and
the folder, but for the logs of the last node. It outlives whoever asked, and a killed guard takes
the node with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from ugc_cluster import cgroups
from ugc_cluster.configuration import NODE_NAME

PREFIX = "ugc-node-"
PID_FILE = "guard.pid"
_LEFT_S = 20.0
_NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")


def main(directory: Path, listener: int) -> int:
    # Ctrl-C in a terminal reaches the whole group; the node ends when its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (directory / PID_FILE).write_text(str(os.getpid()), "utf-8")
    name = f"{PREFIX}{os.getpid()}"
    places = cgroups.make(name)
    command = [
        # Of these each ends what follows it when it ends itself, even by SIGKILL.
        "setpriv", "--pdeathsig", "KILL",
        "unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc",
        "sh", "-c", 'hostname "$1" && shift && exec "$@"', "sh", NODE_NAME,
        sys.executable, "-m", "ugc_cluster.boot", str(directory), str(listener),
    ]  # fmt: skip
    node = subprocess.Popen(
        command,
        pass_fds=[listener],
        # With one thread, the guard may run a function between fork and exec.
        preexec_fn=lambda: cgroups.join(places),  # noqa: PLW1509
    )
    signal.signal(signal.SIGTERM, lambda *_: node.kill())
    try:
        return node.wait()
    finally:
        gone_by = time.monotonic() + _LEFT_S
        while not cgroups.remove(places) and time.monotonic() < gone_by:
            time.sleep(0.05)  # the last of its processes are being taken down by the kernel
        logs = directory.parent / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        for log in directory.glob("*.log"):
            log.rename(logs / log.name)
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
