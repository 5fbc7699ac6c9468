"""Checks that libraries are for the machine of an image: `python infra/images/machines.py FOLDER`.

Images are put together on another machine than theirs; a wheel for the wrong one would be found by
the first pod that imports it. TARGETARCH says which it is, or else this machine.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

MACHINES = {"amd64": 62, "x86_64": 62, "arm64": 183, "aarch64": 183}
"""`e_machine` of the ELF header: EM_X86_64 and EM_AARCH64."""


def machines(folder: Path) -> Iterator[tuple[Path, int]]:
    """(file, e_machine) of every ELF file below a folder; links are not followed."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            with file.open("rb") as opened:
                head = opened.read(20)
            if head[:4] == b"\x7fELF":
                order = "<" if head[5] == 1 else ">"
                yield file, struct.unpack(order + "H", head[18:20])[0]


def main(folder: Path, architecture: str) -> str:
    """What to say when all is well; what is wrong is raised as SystemExit."""
    wanted = MACHINES.get(architecture)
    if wanted is None:
        raise SystemExit(f"failed: images are built for amd64 and arm64, not {architecture}")
    found = list(machines(folder))
    wrong = [f"{file} (e_machine {machine})" for file, machine in found if machine != wanted]
    if wrong or not found:
        said = ", ".join(wrong) or "no library at all"
        raise SystemExit(f"failed: in {folder} there is {said}: not for {architecture}")
    return f"{folder}: {len(found)} libraries, all for {architecture}"


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), os.environ.get("TARGETARCH") or platform.machine()))
