"""The tables of what is proven say what the tests and the recorded runs say, and no more."""

import json
from pathlib import Path

import proofs
import pytest


@pytest.mark.parametrize("name", proofs.TABLES)
def test_the_table_is_what_the_tests_say(name: str) -> None:
    written = (proofs.REPOSITORY / "docs" / name).read_text("utf-8")
    assert proofs.HEAD in written
    assert written == proofs.page(name), "run `make chart-proofs`"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("charts/tests", "k8s-tests/tests/promises", "docs", "build/reports"):
        (tmp_path / folder).mkdir(parents=True)
    for name in proofs.TABLES:
        (tmp_path / "docs" / name).write_text(f"before\n{proofs.HEAD}stale\n{proofs.TAIL}after\n")
    monkeypatch.setattr(proofs, "REPOSITORY", tmp_path)
    return tmp_path


def test_another_way_is_refused(repository: Path) -> None:
    mark = '@pytest.mark.proves("all", by="hoping")'
    (repository / "charts" / "tests" / "test_a.py").write_text(f"{mark}\ndef test_a(): ...\n")
    with pytest.raises(ValueError, match=r"test_a\.py: all is proven by hoping"):
        list(proofs.marked())


def ran(repository: Path, **results: bool) -> None:
    entries = [
        {
            "name": name.replace("__", "[x]"),
            "passed": passed,
            "seconds": 1.6,
            "measured": {"a_s": 2},
        }
        for name, passed in results.items()
    ]
    (repository / "build" / "reports" / "k8s.json").write_text(json.dumps(entries))


def tables(repository: Path) -> tuple[str, str]:
    read = ((repository / "docs" / name).read_text() for name in proofs.TABLES)
    install, kubernetes = read
    for page in (install, kubernetes):
        assert page.startswith("before\n")
        assert page.endswith("after\n")
        assert "stale" not in page
    return install, kubernetes


def test_a_promise_is_proven_by_a_run_of_all_its_tests(repository: Path) -> None:
    promise = repository / "k8s-tests" / "tests" / "promises" / "test_b.py"
    promise.write_text('"""It\nholds.\n\nMore."""\ndef test_one(): ...\ndef test_two(): ...\n')

    assert proofs.main([]) == 0
    install, kubernetes = tables(repository)
    assert "It holds" not in install
    assert "It holds" not in kubernetes

    ran(repository, one=True, gone=True)
    assert proofs.main(["node"]) == 0
    assert "It holds" not in tables(repository)[1]
    assert "gone" not in proofs.recorded_file().read_text()

    ran(repository, two__=False)
    assert proofs.main(["node"]) == 0
    install, kubernetes = tables(repository)
    assert "It holds" not in install
    row = "| It holds (`test_b.py`) | a node of our own | **no** | 3 | a_s 2, a_s 2 |"
    assert row in kubernetes

    ran(repository, two__=True)
    assert proofs.main(["node"]) == 0
    install, kubernetes = tables(repository)
    assert "| It holds | running, on a real Kubernetes | `k8s-tests/" in install
    assert "| a node of our own | yes |" in kubernetes

    ran(repository, one=True, two__=False)
    assert proofs.main(["kind"]) == 0
    kubernetes = tables(repository)[1]
    assert "| a node of our own | yes |" in kubernetes
    assert "| kind | **no** |" in kubernetes


def test_only_a_run_is_recorded(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert proofs.main(["node"]) == 1
    assert "make test-k8s" in capsys.readouterr().err
    ran(repository)
    assert proofs.main(["here"]) == 2
    assert "node, kind, minikube" in capsys.readouterr().err
