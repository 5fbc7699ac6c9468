"""Keys that a chart makes: once, and never again while the Secret is there."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from kubernetes_server import serving
from rendering import CHARTS, Helm, Object, RefusedError

OWNED = {"meta.helm.sh/release-name": "ugc", "meta.helm.sh/release-namespace": "default"}
"""What Helm writes to what it makes, and asks of what it finds."""


@contextmanager
def cluster_with(helm: Helm, *secrets: Object) -> Iterator[Any]:
    """`render(chart, *arguments)` that looks into a cluster with these Secrets."""
    for secret in secrets:
        secret["metadata"].setdefault("annotations", {}).update(OWNED)
    with serving({secret["metadata"]["name"]: secret for secret in secrets}) as url:

        def render(chart: str, *arguments: str) -> dict[str, Object]:
            text = helm.run(
                "template", "ugc", str(CHARTS / chart), "--dry-run=server",
                "--kube-apiserver", url, "--disable-openapi-validation",
                "-f", str(CHARTS / chart / "ci/least-values.yaml"), *arguments,
            )  # fmt: skip
            objects = [found for found in yaml.safe_load_all(text) if found]
            return {o["metadata"]["name"]: o for o in objects if o["kind"] == "Secret"}

        yield render


@pytest.mark.parametrize(
    ("chart", "name", "key"),
    [("ugc-api", "ugc-api", "jwt-secret"), ("etl", "ugc-etl-pseudonym", "pseudonym-key")],
)
@pytest.mark.proves("keys that are made stay, where a cluster has them", by="running")
def test_made_once(helm: Helm, chart: str, name: str, key: str) -> None:
    with cluster_with(helm) as render:
        first, other = render(chart)[name], render(chart)[name]
    assert first["data"][key] != other["data"][key]
    assert len(base64.b64decode(first["data"][key])) == 48
    with cluster_with(helm, first) as render:
        assert render(chart)[name]["data"] == first["data"]
        # Another password in the same Secret changes nothing of what was made.
        sasl = '{"mechanism": "PLAIN", "username": "me", "password": "p"}'
        after = render(chart, "--set-json", f"kafka.sasl={sasl}")
        assert after[name]["data"][key] == first["data"][key]


def test_another_pseudonym_key_is_refused(helm: Helm) -> None:
    with cluster_with(helm) as render:
        first = render("etl")["ugc-etl-pseudonym"]
    key = base64.b64decode(first["data"]["pseudonym-key"]).decode()
    with cluster_with(helm, first) as render:
        assert render("etl", "--set", f"pseudonymKey.value={key}")
        with pytest.raises(RefusedError, match="every viewer would be somebody else"):
            render("etl", "--set", "pseudonymKey.value=another-key-of-mine")
