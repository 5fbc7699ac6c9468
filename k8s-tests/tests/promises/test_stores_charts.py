"""A real API server takes all that the charts and the platform's profiles render.

Strictly, with the CRDs of Strimzi, cert-manager and the Prometheus operator, without a warning, and
with the restricted Pod Security Standard enforced: pods are made from the templates, whether or not
their images can be had.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases import Namespace
from ugc_cluster.cluster import Cluster
from ugc_cluster.deadline import await_true
from ugc_cluster.failure import NoClusterError

REPOSITORY = Path(__file__).parents[3]
sys.path.append(str(REPOSITORY / "charts" / "tests"))

from operator_crds import write_crds  # noqa: E402 - the path is set above
from strimzi_crds import write_crds as write_strimzi  # noqa: E402

KAFKA = "infra/strimzi"
CLICKHOUSE = "infra/clickhouse-keeper"
API, ETL = "charts/ugc-api", "charts/etl"
PLATFORM = "charts/ugc-platform"
RENDERED = {
    "kafka-kind": (KAFKA, ["ci/kind-values.yaml"]),
    "kafka-plain": (KAFKA, ["ci/plain-values.yaml"]),
    "kafka-production": (KAFKA, ["ci/production-values.yaml"]),
    "clickhouse-kind": (CLICKHOUSE, ["ci/kind-values.yaml"]),
    "clickhouse-plain": (CLICKHOUSE, ["ci/plain-values.yaml"]),
    "clickhouse-production": (CLICKHOUSE, ["ci/production-values.yaml"]),
    "api-strimzi": (API, ["ci/strimzi-values.yaml"]),
    "etl-strimzi": (ETL, ["ci/strimzi-values.yaml"]),
    "kind": (PLATFORM, ["values-kind.yaml"]),
    "production": (PLATFORM, ["values-production.yaml", "ci/production-values.yaml"]),
}
OF_OPERATORS = {
    "Certificate", "Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "PodMonitor",
    "PrometheusRule", "ServiceMonitor",
}  # fmt: skip
MAKERS = {"Deployment", "StatefulSet", "Job"}
PODS_S = 60


@pytest.fixture
def operators(cluster: Cluster, tmp_path: Path) -> Iterator[None]:
    """The CRDs of Strimzi, cert-manager and the Prometheus operator; a cluster keeps its own."""
    files = [*write_strimzi(tmp_path).values(), *write_crds(tmp_path)]
    there = set(cluster.kubectl("get", "crds", "-o", "name").split())
    ours = [f"--filename={file}" for file in files if crd_name(file) not in there]
    if not ours:
        yield
        return
    cluster.kubectl("apply", "--server-side", *ours)
    try:
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *ours)
        yield
    finally:
        cluster.kubectl("delete", *ours)


def crd_name(file: Path) -> str:
    """As kubectl says it."""
    name = yaml.safe_load(file.read_text("utf-8"))["metadata"]["name"]
    return f"customresourcedefinition.apiextensions.k8s.io/{name}"


@pytest.mark.usefixtures("operators")
def test_stores_charts(
    namespace: Namespace, record_property: Callable[[str, object], None]
) -> None:
    # Pods that have no account of their own run as this one.
    namespace.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    accepted: dict[str, int] = {}
    for release, (chart, files) in RENDERED.items():
        taken = rendered(namespace, release, chart, files)
        apply(namespace, taken)
        for found in taken:
            accepted[found["kind"]] = accepted.get(found["kind"], 0) + 1
        await_pods(namespace, [found for found in taken if found["kind"] in MAKERS])
        for kafka in (found for found in taken if found["kind"] == "Kafka"):
            kafka["spec"]["kafka"]["replicas"] = 3  # of Strimzi before 1.0
            with pytest.raises(NoClusterError, match=r"unknown field .*replicas"):
                apply(namespace, [kafka])
    assert accepted.keys() >= OF_OPERATORS
    record_property("objects", sum(accepted.values()))
    record_property("objects_of_operators", sum(accepted[kind] for kind in OF_OPERATORS))
    record_property("pods", len(namespace.objects(["pods"])))


def rendered(
    namespace: Namespace, release: str, chart: str, files: list[str]
) -> list[dict[str, Any]]:
    """What Helm makes for this cluster, less the pods of `helm test`."""
    folder = REPOSITORY / chart
    values = [word for file in files for word in ("-f", str(folder / file))]
    text = namespace.helm("template", release, str(folder), "--skip-tests", *values)
    return [found for found in yaml.safe_load_all(text) if found]


def apply(namespace: Namespace, objects: list[dict[str, Any]]) -> None:
    namespace.cluster.kubectl(
        "apply", "--server-side", "--validate=strict", "--warnings-as-errors",
        "-n", namespace.name, "-f", "-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
    )  # fmt: skip


def await_pods(namespace: Namespace, makers: list[dict[str, Any]]) -> None:
    """Until each has made the pods that it makes at once: none was refused."""
    for maker in makers:
        name = f"{maker['kind'].lower()}/{maker['metadata']['name']}"
        spec = maker["spec"]
        at_once = spec.get("podManagementPolicy") == "Parallel" or maker["kind"] == "Deployment"
        wanted = spec.get("replicas", 1) if at_once else min(1, spec.get("replicas", 1))
        selector = spec.get("selector", {}).get(
            "matchLabels", {"job-name": maker["metadata"]["name"]}
        )
        labels = ",".join(f"{key}={value}" for key, value in selector.items())

        def made(labels: str = labels, wanted: int = wanted) -> bool:
            refused = namespace.kubectl(
                "get", "events", "--field-selector=reason=FailedCreate",
                "-o", "jsonpath={.items[*].message}",
            )  # fmt: skip
            assert not refused, refused
            found = namespace.kubectl("get", "pods", "-l", labels, "-o", "name")
            return len(found.split()) >= wanted

        await_true(f"{name} has not made {wanted} pods", made, PODS_S)
