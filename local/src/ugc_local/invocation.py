"""How a command about a stack is typed, for messages to paste from."""

from __future__ import annotations

import shlex
from pathlib import Path

DEFAULT_DATA_DIR = Path("build/local")


def typed(command: str, data_dir: Path) -> str:
    """`make <command>` for the usual directory, else `.venv/bin/ugc <command> --data-dir …`."""
    if data_dir == DEFAULT_DATA_DIR:
        return f"make {command}"
    return f".venv/bin/ugc {command} --data-dir {shlex.quote(str(data_dir))}"
