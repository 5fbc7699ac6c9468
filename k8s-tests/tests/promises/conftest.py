import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
sys.path[:0] = [str(REPOSITORY / path) for path in ("k8s-tests", "k8s-tests/tests/promises")]

from releases import Namespace  # noqa: E402 - the path is set above
from ugc_cluster import provider  # noqa: E402
from ugc_cluster.cluster import Cluster  # noqa: E402

REPORT = REPOSITORY / "build" / "reports" / "k8s.json"
PROMISE_S = 600
STATE = REPOSITORY / "build" / "k8s"
_results: pytest.StashKey[list[dict[str, object]]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_results] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is built once takes minutes: in no promise's time."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(PROMISE_S, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.config.stash[_results].append(
            {
                "name": item.name.removeprefix("test_"),
                "passed": report.passed,
                "seconds": round(report.duration, 1),
                "measured": dict(item.user_properties),
            }
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One entry a promise, those of promises that did not run now kept from before."""
    if not (results := session.config.stash[_results]):
        return
    old = json.loads(REPORT.read_text("utf-8")) if REPORT.exists() else []
    ran = {entry["name"] for entry in results}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    merged = [entry for entry in old if entry["name"] not in ran] + results
    REPORT.write_text(json.dumps(merged, indent=2) + "\n", "utf-8")


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    terminal = pytestconfig.pluginmanager.getplugin("terminalreporter")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def on_step(step: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(step)

    with provider.provided(os.environ, STATE, on_step) as found:
        yield found


@pytest.fixture(scope="session")
def helm() -> Path:
    finder = REPOSITORY / "infra" / "helm" / "find_helm.py"
    found = subprocess.run(
        [sys.executable, str(finder)], stdout=subprocess.PIPE, text=True, check=False
    )
    assert found.returncode == 0, f"there is no Helm, and {finder.name} has said above why"
    return Path(found.stdout.strip())


@pytest.fixture
def namespace(helm: Path, cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace that enforces the restricted Pod Security Standard, gone after the promise."""
    with _namespace(helm, cluster, f"ugc-{_name(request)}") as made:
        yield made


@pytest.fixture
def another_namespace(
    helm: Path, cluster: Cluster, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    with _namespace(helm, cluster, f"ugc-{_name(request)}-2") as made:
        yield made


def _name(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name.removeprefix("test_")
    return name.replace("_", "-")[:40]


@contextlib.contextmanager
def _namespace(helm: Path, cluster: Cluster, name: str) -> Iterator[Namespace]:
    made = Namespace(cluster, helm, name, REPOSITORY / "charts")
    made.create()
    try:
        yield made
    finally:
        made.delete()
