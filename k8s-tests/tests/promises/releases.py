"""A namespace with the stores in it, and what people do there: install, ask, send, uninstall."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from store_objects import stores
from ugc_cluster.cluster import Cluster
from ugc_cluster.commands import run
from viewers import Analyst

_READY = "240s"
# A node of two cores runs all of it: what the charts ask for by default is for larger ones.
_SMALL = ("--set", "pod.resources.requests.cpu=50m")
_MAKERS = "deployments,replicasets,statefulsets,jobs,pods"
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Namespace:
    """Everything below happens in the namespace `name`. Failures are NoClusterErrors."""

    cluster: Cluster
    helm_program: Path
    name: str
    charts: Path

    def create(self) -> None:
        """Empty: what an earlier one has left in it is gone first."""
        self.kubectl("delete", "namespace", self.name, "--ignore-not-found", "--timeout=120s")
        self.cluster.apply(
            [
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {
                        "name": self.name,
                        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                    },
                }
            ]
        )

    def delete(self) -> None:
        """Nothing runs in it any more; Kubernetes takes its time over the rest."""
        # First what makes pods. None is to end in good order.
        self.kubectl("delete", _MAKERS, "--all", "--force", "--grace-period=0")
        self.kubectl("delete", "namespace", self.name, "--ignore-not-found", "--wait=false")

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.cluster.kubectl("-n", self.name, *arguments, stdin=stdin)

    def helm(self, *arguments: str) -> str:
        return run(
            [
                self.helm_program, *arguments, "-n", self.name,
                "--kubeconfig", self.cluster.kubeconfig,
            ],
            f"helm {' '.join(arguments)}",
        )  # fmt: skip

    def start_stores(self, *, partitions: int = 4) -> float:
        """Kafka at kafka:9092 and ClickHouse at clickhouse:9000; seconds until both are Ready."""
        began = time.monotonic()
        passwords = {"admin": secrets.token_hex(16), "analyst": secrets.token_hex(16)}
        self.cluster.apply(stores(passwords, partitions=partitions), self.name)
        for store in ("kafka", "clickhouse"):
            self.kubectl("rollout", "status", f"statefulset/{store}", f"--timeout={_READY}")
        return time.monotonic() - began

    def install_api(self, release: str, *settings: str) -> float:
        """Seconds until it is Ready."""
        return self._install(release, "ugc-api", "--set", "jwt.generate=true", *settings)

    def install_etl(self, release: str, *settings: str) -> float:
        """Seconds until it is Ready."""
        return self._install(
            release, "etl", "--set", "clickhouse.host=clickhouse",
            "--set", "clickhouse.existingSecret.name=clickhouse",
            "--set", "clickhouse.existingSecret.key=admin", *settings,
        )  # fmt: skip

    def _install(self, release: str, chart: str, *settings: str) -> float:
        began = time.monotonic()
        self.helm(
            "install", release, str(self.charts / chart), "--wait", f"--timeout={_READY}",
            "--set", "kafka.bootstrapServers=kafka:9092", *_SMALL, *settings,
        )  # fmt: skip
        return time.monotonic() - began

    def upgrade(self, release: str, chart: str | Path, *settings: str) -> float:
        """Seconds until it is Ready with these settings, all others as they were.

        `chart` is one of ours by its name, or a folder.
        """
        began = time.monotonic()
        self.helm(
            "upgrade", release, str(self.charts / chart), "--wait", f"--timeout={_READY}",
            "--reset-then-reuse-values", *settings,
        )  # fmt: skip
        return time.monotonic() - began

    def secret(self, name: str, key: str) -> str:
        data = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return base64.b64decode(data[key]).decode()

    @contextlib.contextmanager
    def analyst(self) -> Iterator[Analyst]:
        """Somebody who may ask ClickHouse over HTTP."""
        with self.forward("clickhouse", 8123) as port:
            yield Analyst(port, self.secret("clickhouse", "analyst"))

    def objects(self, kinds: Sequence[str]) -> set[str]:
        """kind/name of what is there."""
        return set(self.kubectl("get", ",".join(kinds), "-o", "name").split())

    @contextlib.contextmanager
    def forward(self, service: str, port: int) -> Iterator[int]:
        """A port of this machine's loopback that leads to the Service, as the notes tell people."""
        command = [
            str(self.cluster.kubectl_program), f"--kubeconfig={self.cluster.kubeconfig}",
            "-n", self.name, "port-forward", "--address=127.0.0.1",
            f"service/{service}", f":{port}",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
            try:
                assert forwarding.stdout is not None
                said = forwarding.stdout.readline()
                found = _FORWARDING.match(said)
                assert found, f"kubectl port-forward said {said!r}"
                yield int(found[1])
            finally:
                forwarding.terminate()
