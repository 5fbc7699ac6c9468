"""Where a Helm comes from."""

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from find_helm import HERE, NoHelmError, cached, find, version


def program(path: Path, says: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return str(path)


def test_the_named_one_wins(tmp_path: Path) -> None:
    named, other = (program(tmp_path / d / "helm", "v4.9.9") for d in ("named", "other"))
    environ = {"HELM_BIN": named, "PATH": str(Path(other).parent)}
    assert find(environ) == Path(named)
    assert find(environ | {"HELM_BIN": ""}) == Path(other)


def test_a_named_one_that_is_no_helm_4(tmp_path: Path) -> None:
    for named in (program(tmp_path / "helm", "v3.19.0"), str(tmp_path / "none")):
        with pytest.raises(NoHelmError, match="is no Helm 4"):
            find({"HELM_BIN": named, "PATH": ""})


def test_an_old_one_on_path_is_passed_over(tmp_path: Path) -> None:
    old = program(tmp_path / "bin" / "helm", "v3.19.0")
    built = cached({"XDG_CACHE_HOME": str(tmp_path)}, make(built_times := []))
    assert find({"PATH": str(Path(old).parent), "XDG_CACHE_HOME": str(tmp_path)}) == built
    assert len(built_times) == 1


def make(times: list[Path]) -> Callable[[Path, Mapping[str, str]], Path]:
    def build(scratch: Path, _: Mapping[str, str]) -> Path:
        times.append(scratch)
        return Path(program(scratch / "helm", version()))

    return build


def test_of_several_one_builds(tmp_path: Path) -> None:
    times: list[Path] = []
    found: list[Path] = []
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    threads = [
        threading.Thread(target=lambda: found.append(cached(environ, make(times))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 1
    assert len(found) == 8
    assert len(set(found)) == 1
    assert version() in found[0].name
    assert not times[0].exists()


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}

    def fails(_: Path, __: Mapping[str, str]) -> Path:
        raise NoHelmError("there is no network")

    with pytest.raises(NoHelmError):
        cached(environ, fails)
    assert cached(environ, make([])).exists()


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "ugc-platform" / "build-killed"
    program(left / "objects" / "x", "")
    assert cached({"XDG_CACHE_HOME": str(tmp_path)}, make([])).exists()
    assert not left.exists()


def test_the_pinned_sums_have_the_pinned_version() -> None:
    sums = (HERE / "go.sum").read_text("utf-8")
    assert re.search(rf"^helm\.sh/helm/v4 {re.escape(version())} h1:", sums, re.M)
