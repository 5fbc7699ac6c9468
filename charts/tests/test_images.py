"""The Dockerfiles fit the charts and the workspace."""

import os
import platform
import re
import subprocess
import sys
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


@images
def test_nothing_of_another_machine_is_run(chart: str) -> None:
    """The first stage runs here; the second, of the image's platform, runs nothing."""
    stages = re.split(r"^(FROM .*)$", dockerfile(chart), flags=re.M)[1:]
    assert [line.split()[:2] for line in stages[::2]] == [
        ["FROM", "--platform=$BUILDPLATFORM"], ["FROM", "--platform=$TARGETPLATFORM"],
    ]  # fmt: skip
    build, image = stages[1::2]
    assert "python infra/images/machines.py /opt/venv\n" in build
    assert not re.search(r"^RUN ", image, re.M)


@pytest.mark.parametrize(("architecture", "named"), [
    ("amd64", "x86_64"), ("arm64", "aarch64"), ("", platform.machine()),
])  # fmt: skip
def test_wheels_are_the_images(architecture: str, named: str) -> None:
    said = subprocess.run(
        ["sh", str(REPOSITORY / "infra/images/platform.sh")],
        env={"PATH": os.environ["PATH"], "TARGETARCH": architecture},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert said.stdout == f"{named}-unknown-linux-gnu\n"


def libraries(folder: Path, *e_machines: int) -> Path:
    for number, e_machine in enumerate(e_machines):
        head = b"\x7fELF\x02\x01\x01".ljust(18, b"\0") + e_machine.to_bytes(2, "little")
        (folder / f"{number}.so").write_bytes(head)
    (folder / "text.py").write_text("ELF")
    return folder


def machines(folder: Path, architecture: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "infra/images/machines.py"), str(folder)],
        env={"TARGETARCH": architecture}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_libraries_of_another_machine_fail_the_build(tmp_path: Path) -> None:
    arm, amd = 183, 62
    status, said = machines(libraries(tmp_path, arm, arm), "arm64")
    assert (status, said) == (0, f"{tmp_path}: 2 libraries, all for arm64\n")
    assert machines(tmp_path, "amd64")[0] == 1
    status, said = machines(libraries(tmp_path, arm, amd), "arm64")
    assert status == 1
    assert f"{tmp_path}/1.so (e_machine {amd})" in said
    assert "0.so" not in said


def test_no_library_fails_the_build(tmp_path: Path) -> None:
    """Both services have some, so they were looked for in the wrong place."""
    assert "no library at all" in machines(tmp_path, "arm64")[1]
    assert "not s390x" in machines(tmp_path, "s390x")[1]


def test_the_environment_here_is_for_this_machine() -> None:
    status, said = machines(Path(sys.prefix), platform.machine())
    if sys.platform == "linux":
        assert (status, said.endswith(f"all for {platform.machine()}\n")) == (0, True)
    else:
        assert "no library at all" in said


SAYS_WHAT_IT_IS_ASKED = """#!/bin/sh
echo "$(basename "$0") $*" >> "$LOG"
for word; do case $word in *.tar | build/images/id) echo > "$word" ;; esac; done
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
    built = [line for line in said if line.startswith("buildah build ")]
    assert [
        re.findall(r"-f services/(\S+)/Dockerfile .*--platform (\S+)", line) for line in built
    ] == [
        [(service, f"linux/{architecture}")]
        for service in ("ugc-api", "etl")
        for architecture in ("amd64", "arm64")
    ]
    for line in built:
        assert re.search(r" --build-arg BUILDPLATFORM=linux/(amd64|arm64) ", line)
        assert " --manifest docker.io/library/ugc-" in line
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
