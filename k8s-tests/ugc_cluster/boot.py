"""The node's first process, in namespaces of its own: `python -m ugc_cluster.boot DIRECTORY FD`.

Standard input carries requests, one a line, each answered by a line on standard output:
`import PATH` loads an archive of images. When the input ends (whoever asked for the node is gone),
so does the node: with its first process the kernel ends every other one, and with the last of them
go its mounts, its network and its rules.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from ugc_cluster import cgroups, configuration, relay, volumes
from ugc_cluster.commands import run
from ugc_cluster.configuration import Program
from ugc_cluster.failure import NoClusterError

_LOOK_EVERY_S = 0.1
_IMPORT = ("ctr", "-n", "k8s.io", "-a", configuration.CONTAINERD_SOCKET, "images", "import")
_IMPORT_LOG = Path("/run/import.log")
_SYSCTLS = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/route_localnet": "1"}


def main(directory: Path, listener: int, environ: Mapping[str, str]) -> None:
    programs = [Program(**each) for each in json.loads((directory / "run.json").read_text("utf-8"))]
    _mounts(directory)
    _network()
    os.chdir(directory)  # some programs write to where they are
    relay.serve(socket.socket(fileno=listener), ("127.0.0.1", configuration.API_PORT))
    requests = Requests()
    children: dict[int, str] = {}
    importing: int | None = None
    waiting = deque(programs)
    last = None
    while not requests.ended:
        if waiting and (last is None or _answers(last.ready)):
            last = waiting.popleft()
            children[_start(last.command, Path(f"{last.name}.log"), environ)] = last.name
        if importing is None and not waiting and (line := requests.next(_LOOK_EVERY_S)):
            importing = _start([*_IMPORT, line.removeprefix("import ")], _IMPORT_LOG, environ)
        else:
            requests.wait(_LOOK_EVERY_S)
        while (ended := _ended()) is not None:
            pid, status = ended
            if pid == importing:
                said = _IMPORT_LOG.read_text("utf-8", "replace").strip()
                print("done" if status == 0 else f"failed {said[-500:]!r}", flush=True)
                importing = None
            elif pid in children:
                print(f"failed {children[pid]} ended with status {status}", flush=True)
                return


class Requests:
    """The lines of standard input, without waiting for a whole one."""

    def __init__(self) -> None:
        self.ended = False
        self._pending = b""

    def wait(self, timeout_s: float) -> None:
        """Read what is there or comes within this time."""
        if select.select([0], [], [], timeout_s)[0]:
            data = os.read(0, 4096)
            self.ended = not data
            self._pending += data

    def next(self, timeout_s: float) -> str:
        """A line, or nothing if none is whole yet."""
        if b"\n" not in self._pending:
            self.wait(timeout_s)
        line, newline, rest = self._pending.partition(b"\n")
        if not newline:
            return ""
        self._pending = rest
        return line.decode()


def _answers(ready: str | int | None) -> bool:
    if ready is None:
        return True
    kind = socket.AF_INET if isinstance(ready, int) else socket.AF_UNIX
    with socket.socket(kind) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", ready) if isinstance(ready, int) else ready) == 0


def _start(command: Sequence[str], log: Path, environ: Mapping[str, str]) -> int:
    """The pid: it is waited for with all that are left to the first process."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawnp(command[0], list(command), environ, file_actions=actions)


def _ended() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _mounts(directory: Path) -> None:
    failure = "the node's mounts could not be made"
    found = cgroups.hierarchies()
    # What containers mount is to reach other containers, and never the machine.
    run(["mount", "--make-rshared", "/"], failure)
    run(["mount", "-t", "sysfs", "sysfs", "/sys"], failure)
    cgroups.mount_inside(found)
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], failure)
    run(["mount", "--bind", directory / "var", "/var"], failure)
    run(["mount", "--bind", directory / "hosts", "/etc/hosts"], failure)
    for folder in ("/var/lib", "/var/log", "/var/tmp"):  # noqa: S108 - the node's own
        Path(folder).mkdir(exist_ok=True)
    for volume in volumes.FOLDERS:
        volume.mkdir(parents=True)


def _network() -> None:
    failure = "the node's network could not be made"
    address = f"{configuration.NODE_ADDRESS}/24"
    for command in (
        "link set lo up",
        # A pair of interfaces that lead to each other: an address, and nobody else there.
        "link add node0 type veth peer name node1",
        f"address add {address} dev node0",
        "link set node0 up",
        "link set node1 up",
        "route add default dev node0",
    ):
        run(["ip", *command.split()], failure)
    for name, value in _SYSCTLS.items():
        Path("/proc/sys", name).write_text(value, "utf-8")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), dict(os.environ))
    except (NoClusterError, OSError) as error:
        print(f"failed {error}".replace("\n", " "), flush=True)
        sys.exit(1)
