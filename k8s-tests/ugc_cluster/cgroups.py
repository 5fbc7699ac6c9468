"""A control group for a node, in every hierarchy: made outside, seen as the root inside.

Both layouts of Linux are known: one tree (v2), or a tree for each controller (v1). What the node's
kubelet makes is below it, so removing it removes all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugc_cluster.commands import run

ROOT = Path("/sys/fs/cgroup")
_FAILURE = "a control group for the node could not be made"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A tree of control groups; `own` is where this process is in it, `controllers` "" for v2."""

    mount: Path
    controllers: str
    own: str

    def place(self, name: str) -> Path:
        return self.mount / self.own.strip("/") / name


def hierarchies() -> list[Hierarchy]:
    """Those that are mounted, but for a v2 tree without controllers beside v1's."""
    unified = (ROOT / "cgroup.controllers").exists()
    found = []
    for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
        _, controllers, own = line.split(":", 2)
        if unified and not controllers:
            # A group with processes can have no groups with controllers, but for the root.
            found.append(Hierarchy(ROOT, "", "/"))
        elif not unified and controllers:
            mount = ROOT / controllers.removeprefix("name=")
            if mount.is_dir():
                found.append(Hierarchy(mount, controllers, own))
    return found


def make(name: str) -> list[Path]:
    """The new group's folder in every hierarchy."""
    made = []
    for hierarchy in hierarchies():
        place = hierarchy.place(name)
        place.mkdir()
        made.append(place)
        for file in ("cpuset.cpus", "cpuset.mems"):  # of v1, empty in a new group: nothing runs so
            if hierarchy.controllers and (place / file).exists():
                (place / file).write_text((place.parent / file).read_text("utf-8"), "utf-8")
    return made


def join(places: Sequence[Path]) -> None:
    """Move the calling process."""
    for place in places:
        (place / "cgroup.procs").write_text("0", "utf-8")


def remove(places: Sequence[Path]) -> bool:
    """Whether all of it is gone; a group that still has processes stays."""
    for place in places:
        for folder in _deepest_first(place):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


def left(prefix: str) -> list[Path]:
    """Groups of nodes by the prefix of their names, wherever this process can see them."""
    return sorted({path for each in hierarchies() for path in each.mount.rglob(f"{prefix}*")})


def mount_inside(found: Sequence[Hierarchy]) -> None:
    """In new mount and cgroup namespaces: show the node's group as the root of every hierarchy.

    What was `found` before sysfs was mounted anew, which hides them.
    """
    if not all(each.controllers for each in found):
        run(["mount", "-t", "cgroup2", "cgroup2", ROOT], _FAILURE)
        # No processes beside groups with controllers: the node's own go into one of their own.
        (ROOT / "node").mkdir()
        (ROOT / "node" / "cgroup.procs").write_text("0", "utf-8")
        for controller in (ROOT / "cgroup.controllers").read_text("utf-8").split():
            (ROOT / "cgroup.subtree_control").write_text(f"+{controller}", "utf-8")
        return
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", ROOT], _FAILURE)
    for each in found:
        each.mount.mkdir()
        named = each.controllers.startswith("name=")
        options = f"none,{each.controllers}" if named else each.controllers
        run(["mount", "-t", "cgroup", "-o", options, "cgroup", each.mount], _FAILURE)


def _deepest_first(place: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(place, topdown=False):
        yield Path(folder)
