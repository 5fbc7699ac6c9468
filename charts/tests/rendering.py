"""Renders charts with the real Helm, and finds things in what it rendered."""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = "1.30", "1.37"
"""Versions of Kubernetes: Strimzi 1.2 needs the first, the second is out."""

Object = dict[str, Any]


class RefusedError(Exception):
    """Helm did not render; what it said."""


@dataclass(frozen=True)
class Rendered:
    objects: list[Object]

    def all(self, kind: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Object:
        found = [o for o in self.all(kind) if not name or o["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} of {kind} {name}"
        return found[0]

    def pods(self) -> Iterator[tuple[str, Object]]:
        """What each thing that makes pods is called, and the pod's template."""
        for found in self.objects:
            what = f"{found['kind']} {found['metadata']['name']}"
            if found["kind"] == "Pod":
                yield what, {"metadata": found["metadata"], "spec": found["spec"]}
            elif found["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield what, found["spec"]["template"]

    def environment(self, pod: Object) -> dict[str, str]:
        """What the kubelet would give to the only container; strangers' Secrets have x's."""
        (container,) = pod["spec"]["containers"]
        environ = {}
        for source in container.get("envFrom", []):
            environ.update(self.one("ConfigMap", source["configMapRef"]["name"])["data"])
        for variable in container.get("env") or []:
            if "value" in variable:
                environ[variable["name"]] = variable["value"]
            else:
                reference = variable["valueFrom"]["secretKeyRef"]
                environ[variable["name"]] = self.secret(reference["name"], reference["key"])
        return environ

    def on_disk(self, pod: Object, folder: Path) -> dict[str, str]:
        """The environment, with the files of Secrets and ConfigMaps that it names in `folder`."""
        (container,) = pod["spec"]["containers"]
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        environ = self.environment(pod)
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            files: dict[str, str] = {}
            if "secret" in volume:
                name = volume["secret"]["secretName"]
                files = {i["path"]: self.secret(name, i["key"]) for i in volume["secret"]["items"]}
            elif "configMap" in volume:
                files = self.one("ConfigMap", volume["configMap"]["name"])["data"]
            for path, text in files.items():
                for variable, value in environ.items():
                    if value == f"{mount['mountPath']}/{path}":
                        file = folder / f"{mount['name']}-{path}"
                        file.write_text(text, "utf-8")
                        environ[variable] = str(file)
        return environ

    def secret(self, name: str, key: str) -> str:
        ours = [o for o in self.all("Secret") if o["metadata"]["name"] == name]
        if not ours:
            return "x" * 40
        return base64.b64decode(ours[0]["data"][key]).decode()


@dataclass(frozen=True)
class Helm:
    binary: str
    environ: Mapping[str, str] = field(repr=False)
    _scenarios: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False)

    def run(self, *arguments: str) -> str:
        """Raises RefusedError."""
        done = subprocess.run(
            [self.binary, *arguments],
            env=dict(self.environ), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RefusedError(done.stderr)
        return done.stdout

    def render(
        self,
        chart: str,
        scenario: str = "least",
        *,
        kubernetes: str = OLDEST,
        release: str = "ugc",
        more: Mapping[str, Any] | None = None,
        profiles: Sequence[str] = (),
    ) -> Rendered:
        """`helm template` with files of the chart, ci/SCENARIO-values.yaml ("" for none) and
        values, each over what is before it.

        A scenario as it is is rendered once.
        """
        arguments = ["template", release, str(CHARTS / chart), "--kube-version", kubernetes]
        for profile in profiles:
            arguments += ["-f", str(CHARTS / chart / profile)]
        if scenario:
            arguments += ["-f", str(CHARTS / chart / "ci" / f"{scenario}-values.yaml")]
        for path, value in (more or {}).items():
            arguments += ["--set-json", f"{path}={json.dumps(value)}"]
        key = tuple(arguments)
        text = (self._scenarios.get(key) if more is None else None) or self.run(*arguments)
        self._scenarios.setdefault(key, text)
        return Rendered([found for found in yaml.safe_load_all(text) if found])


def scenarios() -> list[tuple[str, str]]:
    """(chart, scenario) of every ci file of the services' charts."""
    files = [f for c in ("etl", "ugc-api") for f in sorted(CHARTS.glob(f"{c}/ci/*-values.yaml"))]
    return [(file.parents[1].name, file.name.removesuffix("-values.yaml")) for file in files]
