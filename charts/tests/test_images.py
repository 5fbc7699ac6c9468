"""The Dockerfiles fit the charts and the workspace."""

import re
import tomllib

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
