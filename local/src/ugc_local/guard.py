"""The guard's own process: stops what it watches once the process that started it is gone.

Standard input carries one line for each watched process, its pid and its time of creation; the
end of the input means that the starter has ended. A line "release" lets all of them live on; with
logs behind it the guard stays with them, and keeps their logs short until the last has ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from ugc_local.log_bounds import bound
from ugc_local.process import RELEASE, ProcessIdentity, stop_trees

_LOOK_EVERY_S = 5.0


def main(grace_s: float) -> None:
    watched: list[ProcessIdentity] = []
    for line in sys.stdin:
        if line.startswith(RELEASE):
            if words := line.removeprefix(RELEASE).strip():
                told = json.loads(words)
                keep(watched, [Path(path) for path in told["logs"]], told["max_bytes"])
            return
        pid, created_s = line.split()
        watched.append(ProcessIdentity(int(pid), float(created_s)))
    for identity in reversed(watched):
        stop_trees([identity], grace_s=grace_s)


def keep(watched: list[ProcessIdentity], logs: list[Path], max_bytes: int) -> None:
    """Look at the logs every few seconds for as long as any of the watched runs."""
    # Whoever reads the output of the command that started us is not to wait for us.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.chdir(logs[0].parent)
    while any(identity.is_alive() for identity in watched):
        for log in logs:
            bound(log, max_bytes)
        time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    main(float(sys.argv[1]))
