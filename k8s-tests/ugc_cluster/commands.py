"""Running a program to its end, with its last words as the reason when it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ugc_cluster.failure import NoClusterError

_LAST_WORDS = 1500


def run(
    command: Sequence[str | Path],
    failure: str,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> str:
    """What it printed. Raises NoClusterError, which begins with `failure`."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin, env=environ, cwd=cwd, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError as error:
        raise NoClusterError(f"{failure}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-_LAST_WORDS:]
        raise NoClusterError(f"{failure}: {said}")
    return done.stdout
