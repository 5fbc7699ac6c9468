"""What runs under a data directory: written by `up`, read by `down` and `status`."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ugc_local.ports import PortNumbers
from ugc_local.process import ProcessIdentity, boot_id

CREDENTIALS = "credentials.json"
_LOCK, _STATE, _PORTS = "lock", "state.json", "ports.json"


class StateError(Exception):
    """The data directory is in use, or a file in it cannot be read; the message says what to do."""


class ProcessRecord(msgspec.Struct, frozen=True):
    """A process that was started: `created_s` tells it from a later one with its pid."""

    name: str
    pid: int
    created_s: float
    log: str

    @property
    def identity(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.created_s)


class Endpoints(msgspec.Struct, frozen=True):
    """Where the parts of a stack listen; all on the loopback interface."""

    kafka_bootstrap: str
    clickhouse_host: str
    clickhouse_native_port: int
    clickhouse_http_url: str
    clickhouse_kind: str
    api_url: str
    etl_metrics_urls: tuple[str, ...]


class StackState(msgspec.Struct, frozen=True):
    """A stack: its addresses and its processes in the order of their start. No secrets.

    Attributes:
        boot_id: of the machine's run in which it was started; pids and times mean nothing in
            another.
        complete: whether all of it was started, and left running.
    """

    endpoints: Endpoints
    processes: tuple[ProcessRecord, ...] = ()
    boot_id: str = ""
    complete: bool = False

    def alive(self, boot: str | None = None) -> list[ProcessRecord]:
        """Those of its processes that still run, in this run of the machine (`boot`)."""
        if self.boot_id != (boot_id() if boot is None else boot):
            return []
        return [record for record in self.processes if record.identity.is_alive()]


def read_state(data_dir: Path) -> StackState | None:
    """What the data directory says of its stack; None when it was stopped or never started."""
    path = _path(data_dir)
    try:
        return msgspec.json.decode(path.read_bytes(), type=StackState)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StateError(
            f"{path} cannot be read ({error}): stop the processes it names and delete it"
        ) from error


def write_state(data_dir: Path, state: StackState) -> None:
    write_private(_path(data_dir), msgspec.json.format(msgspec.json.encode(state)))


def read_ports(data_dir: Path) -> PortNumbers | None:
    """The ports of the directory's last run, so that its addresses can stay; None at first."""
    try:
        return msgspec.json.decode((data_dir / _PORTS).read_bytes(), type=PortNumbers)
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # others do as well


def write_ports(data_dir: Path, ports: PortNumbers) -> None:
    write_private(data_dir / _PORTS, msgspec.json.format(msgspec.json.encode(ports)))


def remove_state(data_dir: Path) -> None:
    _path(data_dir).unlink(missing_ok=True)


def require_deletable(data_dir: Path) -> None:
    """Raise StateError where the directory is not empty and no stack's."""
    contents = {path.name for path in data_dir.iterdir()} if data_dir.exists() else set()
    if contents - {_LOCK} and CREDENTIALS not in contents:
        raise StateError(
            f"{data_dir} is not empty, and not the directory of a stack: choose another"
        )


def require_space(data_dir: Path, least_bytes: int) -> None:
    """Raise StateError where the directory's disk has less than `least_bytes` left."""
    free = shutil.disk_usage(data_dir).free
    if free < least_bytes:
        raise StateError(
            f"the disk of {data_dir} has {free >> 20} MiB left, and a stack needs "
            f"{least_bytes >> 20} MiB to start: free some, or choose another --data-dir"
        )


def delete_data(data_dir: Path) -> None:
    """Delete what stacks keep in the directory, except its lock. Asks require_deletable first."""
    require_deletable(data_dir)
    for name in ("kafka", "clickhouse", "logs"):
        if (data_dir / name).exists():
            shutil.rmtree(data_dir / name)
    # Last, so that an interrupted deletion is continued.
    for name in (_STATE, _PORTS, CREDENTIALS):
        (data_dir / name).unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` at once, readable by its owner only."""
    # mkstemp makes the file with mode 0600.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Keep every other `up` and `down` off the directory; the kernel lets go if this ends."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateError(
                f"another command is at work in {data_dir}: if it is a stack in the foreground "
                "of a terminal, end it there with Ctrl-C"
            ) from error
        yield
    finally:
        os.close(descriptor)


def is_busy(data_dir: Path) -> bool:
    """Whether a command is at work in the directory: starting, stopping, or in the foreground."""
    try:
        with exclusive(data_dir):
            return False
    except StateError:
        return True


def _path(data_dir: Path) -> Path:
    return data_dir / _STATE
