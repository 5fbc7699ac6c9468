"""Objects for cert-manager and the Prometheus operator are judged by these operators' own CRDs."""

import io
import zipfile
from pathlib import Path

import kubernetes_api
import operator_crds
import pytest
from operator_crds import MODULES, write_crds
from rendering import NEWEST, Helm, Object

CHARTS = [
    ("ugc-api", "strimzi"),
    ("etl", "strimzi"),
    ("../infra/strimzi", "production"),
    ("../infra/clickhouse-keeper", "production"),
]


@pytest.fixture
def objects(helm: Helm) -> dict[str, Object]:
    """One of each kind that is for an operator."""
    rendered = [helm.render(chart, scenario) for chart, scenario in CHARTS]
    return {
        found["kind"]: found
        for one in rendered
        for found in one.objects
        if found["apiVersion"] in MODULES
    }


@pytest.mark.proves(
    "objects for cert-manager and the Prometheus operator are right for their CRDs, strictly",
    by="rendering",
)
def test_all_kinds_are_judged(objects: dict[str, Object]) -> None:
    judged = {kind for api in MODULES for kind in operator_crds.crds(api)}
    assert objects.keys() == judged
    found = [p for one in objects.values() for p in kubernetes_api.problems(one, NEWEST)]
    assert found == []


def test_what_is_wrong_would_be_found(objects: dict[str, Object]) -> None:
    objects["Certificate"]["spec"]["secretname"] = "a"
    del objects["Certificate"]["spec"]["issuerRef"]
    objects["PodMonitor"]["spec"]["podMetricsEndpoints"][0]["intervall"] = "30s"
    objects["ServiceMonitor"]["spec"]["endpoints"][0]["interval"] = "often"
    objects["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["expression"] = "1"
    problems = [p for one in objects.values() for p in kubernetes_api.problems(one, NEWEST)]
    assert len(problems) == 5
    for wrong in ("secretname", "issuerRef", "intervall", "often", "expression"):
        assert any(wrong in problem for problem in problems), wrong


def test_they_are_written_for_kubectl(tmp_path: Path) -> None:
    written = write_crds(tmp_path)
    assert sorted(file.stem for file in written) == [
        "certificates", "podmonitors", "prometheusrules", "servicemonitors",
    ]  # fmt: skip
    assert all("kind: CustomResourceDefinition" in file.read_text("utf-8") for file in written)


def test_another_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = MODULES["cert-manager.io/v1"]
    proxy = tmp_path / "proxy" / module.path / "@v"
    proxy.mkdir(parents=True)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", "other contents")
    (proxy / f"{module.version}.zip").write_bytes(made.getvalue())
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path / 'proxy'},direct")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(AssertionError, match="is not the module that is pinned"):
        write_crds(tmp_path)
    assert not list((tmp_path / "cache").rglob("*.zip"))
