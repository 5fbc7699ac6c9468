import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from ugc_cluster.failure import NoClusterError
from ugc_cluster.provider import CONSENT, provided


def refusal(environ: Mapping[str, str], state: Path) -> str:
    with pytest.raises(NoClusterError) as error, provided(environ, state, print):
        pytest.fail("there is a cluster")
    return str(error.value)


def test_a_kubeconfig_alone_is_no_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    for consent in ({}, {CONSENT: ""}, {CONSENT: "no"}):
        said = refusal({"KUBECONFIG": str(kubeconfig), **consent}, tmp_path / "state")
        assert "needs Linux and root" in said
        assert CONSENT in said
    assert not (tmp_path / "state").exists()


def test_consent_needs_a_kubeconfig(tmp_path: Path) -> None:
    assert "names no file" in refusal({CONSENT: "yes"}, tmp_path)


def test_a_cluster_that_exists_is_used_by_kubectl(tmp_path: Path) -> None:
    (tmp_path / "config").touch()
    environ = {CONSENT: "yes", "KUBECONFIG": str(tmp_path / "config"), "PATH": str(tmp_path)}
    assert "there is none on PATH" in refusal(environ, tmp_path)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "$@"\n')
    kubectl.chmod(0o755)
    with provided(environ, tmp_path / "state", print) as cluster:
        assert cluster.provider == "existing"
        assert cluster.kubectl("get", "pods").split() == [
            f"--kubeconfig={tmp_path / 'config'}", "get", "pods",
        ]  # fmt: skip
    assert not (tmp_path / "state").exists()
