"""What a node could leave on a machine, as lines that can be compared before and after."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from ugc_cluster import cgroups, guard


def traces(environ: Mapping[str, str], state: Path) -> set[str]:
    """`environ` has iptables on its PATH; `state` is the folder that nodes are made in."""
    return {
        *(f"process {each}" for each in _processes()),
        *(f"mount {each}" for each in _mounts()),
        *(f"interface {each.name}" for each in Path("/sys/class/net").iterdir()),
        *(f"control group {each}" for each in cgroups.left(guard.PREFIX)),
        *(f"rule {each}" for each in _rules(environ)),
        *(f"folder {each.name}" for each in state.glob("*") if each.name != "logs"),
    }


def _processes() -> Iterator[str]:
    """Those in other namespaces than ours, and those of this package outside of them."""
    ours = Path("/proc/self/ns/pid").readlink()
    for each in Path("/proc").glob("[0-9]*"):
        try:
            command = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if (each / "ns" / "pid").readlink() != ours or "ugc_cluster" in command:
                yield f"{each.name} {command}"
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile, or has rights that we could not have given to it


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines():
        yield line.split()[4]


def _rules(environ: Mapping[str, str]) -> Iterator[str]:
    for program in ("iptables-save", "ip6tables-save"):
        saved = subprocess.run(
            [program], env=dict(environ), capture_output=True, text=True, check=True
        )
        for line in saved.stdout.splitlines():
            if not line.startswith("#"):  # the time of saving
                yield f"{program} {line.split(' [')[0]}"
