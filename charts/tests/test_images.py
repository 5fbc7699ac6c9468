"""The Dockerfiles fit the charts and the workspace."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from rendering import CHARTS, Helm

REPOSITORY = CHARTS.parent
IMAGES = {"ugc-api": "services/ugc-api", "etl": "services/etl"}
images = pytest.mark.parametrize("chart", IMAGES)


def dockerfile(chart: str) -> str:
    return (REPOSITORY / IMAGES[chart] / "Dockerfile").read_text("utf-8")


@images
def test_one_version(chart: str) -> None:
    workspace = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    version = workspace["project"]["version"]
    assert yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())["appVersion"] == version
    assert f'image.version="{version}"' in dockerfile(chart)


@images
def test_the_pod_is_the_images_user_and_port(helm: Helm, chart: str) -> None:
    rendered = helm.render(chart)
    kind = {"ugc-api": "Deployment", "etl": "StatefulSet"}[chart]
    spec = rendered.one(kind)["spec"]["template"]["spec"]
    user = spec["securityContext"]["runAsUser"]
    assert f"\nUSER {user}:{user}\n" in dockerfile(chart)
    (port,) = spec["containers"][0]["ports"]
    assert f"\nEXPOSE {port['containerPort']}\n" in dockerfile(chart)


@images
def test_every_member_of_the_workspace_is_there_when_it_is_resolved(chart: str) -> None:
    workspace = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    copied = set(re.findall(r"^COPY (\S+)/pyproject.toml", dockerfile(chart), re.M))
    assert copied == set(workspace["tool"]["uv"]["workspace"]["members"])


SAYS_WHAT_IT_IS_ASKED = """#!/bin/sh
echo "$(basename "$0") $*" >> "$LOG"
for word; do case $word in *.tar) : > "$word" ;; esac; done
"""


def asked(
    folder: Path, tools: list[str], script: str, *arguments: str, **environ: str
) -> list[str]:
    """What the script asks of programs of these names, which do nothing."""
    for name in tools:
        (folder / name).write_text(SAYS_WHAT_IT_IS_ASKED)
        (folder / name).chmod(0o755)
    done = subprocess.run(
        ["sh", str(REPOSITORY / "infra/images" / script), *arguments],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={"PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin", "LOG": str(folder / "log"),
             "CONTAINERS": " ".join(t for t in tools if t not in ("kind", "minikube")), **environ},
    )  # fmt: skip
    said = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    return [*said, *([done.stderr.strip()] if done.returncode else [])]


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_images_are_named_as_the_charts_name_them(tmp_path: Path, tool: str, helm: Helm) -> None:
    said = asked(tmp_path, [tool], "build.sh")
    built = [line.split()[-2] for line in said if line.startswith(f"{tool} build ")]
    (api,) = helm.render("ugc-api").one("Deployment")["spec"]["template"]["spec"]["containers"]
    (etl,) = helm.render("etl").one("StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert built == [f"docker.io/library/{api['image']}", f"docker.io/library/{etl['image']}"]
    assert [line.split()[-1] for line in said if line.startswith(f"{tool} images ")] == built
    with_registry = asked(tmp_path, [tool], "build.sh", "r.example.org/ugc/")
    assert f"-t r.example.org/ugc/{etl['image']} ." in with_registry[-2]


def test_several_platforms(tmp_path: Path) -> None:
    platforms = {"PLATFORMS": "linux/amd64,linux/arm64"}
    said = asked(tmp_path, ["buildah"], "build.sh", **platforms)
    assert said[2].startswith(
        "buildah build -f services/ugc-api/Dockerfile --platform linux/amd64,linux/arm64 "
        "--manifest docker.io/library/ugc-api:"
    )
    (tmp_path / "log").unlink()
    assert "set REGISTRY" in asked(tmp_path, ["docker"], "build.sh", **platforms)[-1]
    said = asked(tmp_path, ["docker"], "build.sh", "r/", **platforms)
    assert "--platform linux/amd64,linux/arm64 --push -t r/ugc-etl:" in said[-1]


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
@pytest.mark.parametrize("cluster", ["kind", "minikube"])
def test_a_cluster_is_given_both(tmp_path: Path, tool: str, cluster: str) -> None:
    loads = [
        line
        for line in asked(tmp_path, [tool, cluster], "load.sh", cluster)
        if line.startswith(cluster)
    ]
    assert [re.findall(r"build/images/([\w-]+)\.tar", line) for line in loads] == [
        ["ugc-api"], ["etl"],
    ]  # fmt: skip
    assert not list((REPOSITORY / "build/images").glob("*.tar"))


def test_without_a_tool_it_says_so(tmp_path: Path) -> None:
    said = asked(tmp_path, [], "build.sh", CONTAINERS="no-such-tool")
    assert said == [
        "failed: neither docker, podman nor buildah answers: start or install one of them"
    ]
