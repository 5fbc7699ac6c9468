"""The guard's own process: stops what it watches once the process that started it is gone.

Standard input carries one line for each watched process, its pid and its time of creation; the
end of the input means that the starter has ended. A line "release" lets all of them live on.
"""

from __future__ import annotations

import sys

from ugc_local.process import RELEASE, ProcessIdentity, stop_trees


def main(grace_s: float) -> None:
    watched: list[ProcessIdentity] = []
    for line in sys.stdin:
        if line == RELEASE:
            return
        pid, created_s = line.split()
        watched.append(ProcessIdentity(int(pid), float(created_s)))
    for identity in reversed(watched):
        stop_trees([identity], grace_s=grace_s)


if __name__ == "__main__":
    main(float(sys.argv[1]))
