"""A node of our own: started, given images, stopped to the last trace."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ugc_cluster import addons, cgroups, configuration, guard
from ugc_cluster.cluster import Cluster
from ugc_cluster.deadline import await_true
from ugc_cluster.debian import Tools
from ugc_cluster.failure import NoClusterError

_READY_S = 180.0
_STOP_S = 60.0
_PACKAGE = Path(__file__).resolve().parents[1]
_LAST_LINES = 5


@contextlib.contextmanager
def running(
    root: Path,
    *,
    programs: Path,
    tools: Tools,
    system_archives: Sequence[Path],
    environ: Mapping[str, str],
    on_step: Callable[[str], None],
) -> Iterator[Cluster]:
    """A node whose folder is made below `root`; Ready, with DNS. Raises NoClusterError.

    `system_archives` are images: what holds a pod's namespaces, and DNS. The node is gone when the
    block is left, and when this process dies.
    """
    sweep(root)
    # Short: a path of a socket has 107 bytes.
    directory = root / secrets.token_hex(4)
    directory.mkdir(parents=True)
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        node = configuration.configure(
            directory,
            programs=programs,
            cni_plugins=tools.cni,
            api_port=listener.getsockname()[1],
            now=datetime.datetime.now(datetime.UTC),
            may_lower_oom_score=_may_lower_oom_score(),
        )
        (directory / "run.json").write_text(
            json.dumps([dataclasses.asdict(each) for each in node.run]), "utf-8"
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "ugc_cluster.guard", str(directory), str(listener.fileno())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            pass_fds=[listener.fileno()], start_new_session=True,
            env={**tools.environ(environ), "PYTHONPATH": str(_PACKAGE)},
        )  # fmt: skip
    except BaseException:
        shutil.rmtree(directory)
        raise
    finally:
        listener.close()
    started = _Started(process, directory)
    try:
        cluster = Cluster("node", node.admin_kubeconfig, programs / "kubectl", started.load)
        _await_ready(cluster, started, system_archives, on_step)
        yield cluster
    finally:
        started.stop()


class _Started:
    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._directory = directory
        assert process.stdin is not None  # noqa: S101 - it was opened as a pipe
        assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
        self._requests, self._answers = process.stdin, process.stdout

    def require_running(self) -> None:
        if self._process.poll() is not None:
            raise NoClusterError(f"the node has ended: {self._answers.read().strip()}")

    def load(self, archive: Path) -> None:
        try:
            self._requests.write(f"import {archive}\n")
            self._requests.flush()
        except OSError as error:
            self.require_running()
            raise NoClusterError(f"the node takes no requests: {error}") from error
        answer = self._answers.readline().strip()
        if answer != "done":
            raise NoClusterError(f"the node did not load {archive}: {answer}")

    def last_words(self) -> str:
        """The ends of the node's logs, kept for whoever has to find out why."""
        kept = []
        for log in sorted(self._directory.glob("*.log")):
            lines = log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
            kept.append(f"--- {log.name}\n" + "\n".join(line[:300] for line in lines))
        return "\n".join(kept)

    def stop(self) -> None:
        """End the node and wait until what it had is gone; harder if it takes too long."""
        with self._process:
            self._requests.close()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.terminate()


def _await_ready(
    cluster: Cluster,
    started: _Started,
    system_archives: Sequence[Path],
    on_step: Callable[[str], None],
) -> None:
    def asked(expected: str, *arguments: str) -> Callable[[], bool]:
        def ask() -> bool:
            started.require_running()
            try:
                return cluster.kubectl(*arguments, "--request-timeout=5s").strip() == expected
            except NoClusterError:
                return False  # not yet

        return ask

    try:
        api_s = await_true(
            "the node's API did not answer", asked("ok", "get", "--raw=/readyz"), _READY_S
        )
        for archive in system_archives:
            started.load(archive)
        addons.install(cluster)
        ready = 'jsonpath={.items[0].status.conditions[?(@.type=="Ready")].status}'
        ready_s = await_true(
            "the node was not Ready",
            asked("True", "get", "nodes", "-o", ready),
            _READY_S,
        )
        dns_s = await_true("the node had no DNS", asked("1", *addons.READY), _READY_S)
    except NoClusterError as error:
        raise NoClusterError(f"{error}\n{started.last_words()}") from error
    on_step(f"node: API after {api_s:.0f} s, Ready {ready_s:.0f} s later, DNS {dns_s:.0f} s later")


def sweep(root: Path) -> None:
    """Take away what nodes below `root` have left whose guard was killed."""
    for place in cgroups.left(guard.PREFIX):
        if not Path("/proc", place.name.removeprefix(guard.PREFIX)).exists():
            cgroups.remove([place])
    if root.exists():
        for directory in root.iterdir():
            owner = directory / guard.PID_FILE
            if owner.exists() and not Path("/proc", owner.read_text("utf-8")).exists():
                shutil.rmtree(directory)


def _may_lower_oom_score() -> bool:
    status = Path("/proc/self/status").read_text("utf-8")
    effective = int(next(x for x in status.splitlines() if x.startswith("CapEff")).split()[1], 16)
    return bool(effective >> 24 & 1)  # CAP_SYS_RESOURCE, capabilities(7)
