import os
import subprocess
import sys
from pathlib import Path

import pytest

# importlib mode adds no test folder to the path; what renders and judges is shared by these tests.
REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / path) for path in ("charts/tests", "charts", "infra/helm")]

from rendering import Helm  # noqa: E402 - the path is set above

FINDER = REPOSITORY / "infra" / "helm" / "find_helm.py"
_binary: pytest.StashKey[str] = pytest.StashKey()


def find_helm(config: pytest.Config) -> str:
    if _binary not in config.stash:
        found = subprocess.run(
            [sys.executable, str(FINDER)], stdout=subprocess.PIPE, text=True, check=False
        )
        config.stash[_binary] = found.stdout.strip() if found.returncode == 0 else ""
    return config.stash[_binary]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(what, by): a row of the table of docs/install.md")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Building Helm takes minutes, once: in no test's time."""
    wants_helm = any("helm" in getattr(item, "fixturenames", ()) for item in session.items)
    if wants_helm and not session.config.option.collectonly:
        find_helm(session.config)


@pytest.fixture(scope="session")
def helm(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    binary = find_helm(pytestconfig)
    assert binary, f"there is no Helm, and {FINDER.name} has said above why"
    home = tmp_path_factory.mktemp("helm")
    return Helm(binary, {"PATH": os.environ["PATH"], "HOME": str(home)})
