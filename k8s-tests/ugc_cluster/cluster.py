"""A cluster as the promises use it: kubectl and Helm against one kubeconfig."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_cluster.commands import run


@dataclass(frozen=True, slots=True)
class Cluster:
    """`load` gives the nodes the images of an archive (`name:tag` inside it, not pulled)."""

    provider: str
    kubeconfig: Path
    kubectl_program: Path
    load: Callable[[Path], None]

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """What it printed. Raises NoClusterError with its last words."""
        command = [str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, f"kubectl {' '.join(arguments)}", stdin=stdin)

    def apply(self, objects: Sequence[Mapping[str, Any]], namespace: str = "default") -> None:
        """Server-side, as one list."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=text)
