import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ugc_cluster import docker, images, provider
from ugc_cluster.failure import NoClusterError
from ugc_cluster.images import Source
from ugc_cluster.provider import CONSENT, MAKERS, NODE, PROVIDER, provided


def refusal(environ: Mapping[str, str], state: Path) -> str:
    with pytest.raises(NoClusterError) as error, provided(environ, state, print):
        pytest.fail("there is a cluster")
    return str(error.value)


def test_a_kubeconfig_alone_is_no_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    for consent in ({}, {CONSENT: ""}, {CONSENT: "no"}):
        environ = {"KUBECONFIG": str(kubeconfig), "PATH": str(tmp_path), **consent}
        said = refusal(environ, tmp_path / "state")
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


class Programs:
    """Programs on a PATH of their own that write down how they were called."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._said = folder / "said"
        self._said.touch()
        for name in names:
            self.add(name)

    def add(self, name: str, then: str = "") -> None:
        program = self.folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $* ($KUBECONFIG)" >> {self._said}\n{then}\n')
        program.chmod(0o755)

    def calls(self) -> list[str]:
        said = self._said.read_text().splitlines()
        self._said.write_text("")
        return said

    def environ(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:/usr/bin:/bin", "KUBECONFIG": "/users/own"}

    def arguments(self) -> dict[str, Any]:
        """What making a cluster is given besides."""
        kubectl = self.folder / "kubectl"
        return {"kubectl": kubectl, "environ": self.environ(), "on_step": print}


SOURCE = Source("localhost/a:1", "a/Dockerfile", [], ["--build-context", "jars=/jars"])
SAVE = 'if [ "$1" = save ]; then touch "$3"; fi'


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    made = Programs(tmp_path, "kind", "minikube", "kubectl")
    made.add("docker", SAVE)
    return made


def test_kind(tmp_path: Path, programs: Programs) -> None:
    with docker.running(
        MAKERS["kind"], tmp_path / "state", [SOURCE], **programs.arguments()
    ) as cluster:
        folder = cluster.kubeconfig.parent
        name = folder.name
        assert folder.parent == tmp_path / "state" / "kind"
        assert cluster.provider == "kind"
        assert [call.removesuffix(" (/users/own)") for call in programs.calls()] == [
            "docker build --build-context jars=/jars -f a/Dockerfile -t localhost/a:1 .",
            f"docker save --output {folder}/a-1.tar localhost/a:1",
            f"kind create cluster --name {name} --kubeconfig {folder}/kubeconfig --wait 240s",
            f"kind load image-archive {folder}/a-1.tar --name {name}",
        ]
        cluster.load(tmp_path / "more.tar")
        assert programs.calls() == [
            f"kind load image-archive {tmp_path}/more.tar --name {name} (/users/own)"
        ]
        cluster.kubectl("get", "nodes")
        (asked,) = programs.calls()
        assert asked.startswith(f"kubectl --kubeconfig={folder}/kubeconfig get nodes ")
    deleted = f"kind delete cluster --name {name} --kubeconfig {folder}/kubeconfig (/users/own)"
    assert programs.calls() == [deleted]
    assert not folder.exists()


def test_minikube(tmp_path: Path, programs: Programs) -> None:
    with docker.running(MAKERS["minikube"], tmp_path, [SOURCE], **programs.arguments()) as cluster:
        folder = cluster.kubeconfig.parent
        start = (
            f"minikube start --profile {folder.name} --driver=docker --interactive=false "
            f"--wait=all --wait-timeout=4m ({folder}/kubeconfig)"
        )
        load = f"minikube image load {folder}/a-1.tar --profile {folder.name} (/users/own)"
        assert programs.calls()[2:] == [start, load]
    assert programs.calls() == [f"minikube delete --profile {folder.name} ({folder}/kubeconfig)"]


@pytest.mark.parametrize("maker", MAKERS)
def test_what_was_made_is_deleted_when_something_fails(
    tmp_path: Path, programs: Programs, maker: str
) -> None:
    create = "create" if maker == "kind" else "start"
    programs.add(maker, f'if [ "$1" = {create} ]; then echo "no space" >&2; exit 1; fi')
    with (
        pytest.raises(NoClusterError, match=f"{maker} made no cluster: no space"),
        docker.running(MAKERS[maker], tmp_path, [SOURCE], **programs.arguments()),
    ):
        pytest.fail("there is a cluster")
    assert " delete " in programs.calls()[-1]
    assert not list((tmp_path / maker).iterdir())


def test_what_a_killed_run_left_is_deleted_and_nothing_else(
    tmp_path: Path, programs: Programs
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / "kind" / f"{docker.PREFIX}left"
    others = tmp_path / "kind" / f"{docker.PREFIX}others"
    for folder, process in ((left, dead.pid), (others, os.getpid())):
        folder.mkdir(parents=True)
        (folder / "owner.pid").write_text(str(process))
    with docker.running(MAKERS["kind"], tmp_path, [], **programs.arguments()) as cluster:
        deleted = programs.calls()[0]
        assert deleted.startswith(f"kind delete cluster --name {left.name} ")
        assert not left.exists()
    ours = f"kind delete cluster --name {cluster.kubeconfig.parent.name} "
    assert [call.startswith(ours) for call in programs.calls()] == [True]
    assert others.exists()


def test_which_makes_a_cluster(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(images, "gather_jars", lambda *_: None)
    monkeypatch.setattr(images, "sources", lambda _: [SOURCE])

    def chosen(**more: str) -> str:
        with provided({**programs.environ(), **more}, tmp_path / "state", print) as cluster:
            return cluster.provider

    assert chosen() == "kind"
    assert chosen(**{PROVIDER: "minikube"}) == "minikube"
    said = refusal({**programs.environ(), PROVIDER: NODE}, tmp_path)
    assert "needs Linux and root" in said
    said = refusal({**programs.environ(), PROVIDER: "vagrant"}, tmp_path)
    assert "'vagrant' is none of node, kind, minikube" in said

    (programs.folder / "kind").unlink()
    assert chosen() == "minikube"
    programs.add("docker", "exit 1")
    assert "needs Linux and root" in refusal(programs.environ(), tmp_path)


def test_a_cluster_in_docker_needs_its_programs(tmp_path: Path, programs: Programs) -> None:
    environ = {"PATH": str(programs.folder), PROVIDER: "kind"}
    assert provider.missing(environ) == ""
    (programs.folder / "kubectl").unlink()
    assert refusal(environ, tmp_path) == "a cluster of kind needs kubectl on PATH"
    (programs.folder / "kind").unlink()
    assert refusal(environ, tmp_path) == "a cluster of kind needs kind and kubectl on PATH"
    assert programs.calls() == []


def test_what_is_missing_can_be_asked_for(tmp_path: Path) -> None:
    package = Path(__file__).parents[1]
    ask = [sys.executable, "-m", "ugc_cluster.provider"]
    environ = {"PATH": str(tmp_path), "PYTHONPATH": str(package), PROVIDER: "kind"}
    done = subprocess.run(ask, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (provider.LACKING, "")
    assert done.stderr == "a cluster of kind needs kind and kubectl on PATH\n"
    for name in ("kind", "kubectl"):
        (tmp_path / name).touch(0o755)
    done = subprocess.run(ask, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_beforehand_a_node_is_built_and_another_cluster_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[str] = []
    monkeypatch.setattr(provider, "missing", lambda _environ: "")
    monkeypatch.setattr(provider, "_parts", lambda environ, _on_step: built.append(environ["HOME"]))
    assert provider.main([], {PROVIDER: NODE, "HOME": "asked"}) == 0
    assert provider.main(["build"], {PROVIDER: "kind", "HOME": "kind"}) == 0
    assert provider.main(["build"], {CONSENT: "yes", PROVIDER: NODE, "HOME": "consent"}) == 0
    assert built == []
    assert provider.main(["build"], {PROVIDER: NODE, "HOME": "node"}) == 0
    assert built == ["node"]
