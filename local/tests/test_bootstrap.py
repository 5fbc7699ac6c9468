"""What `make` says on a machine where something is missing; programs that fail stand for it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# In the place of a Python: `knows` is its version, `makes` what the environment's uv does.
PYTHON = """\
#!/bin/sh
case "$*" in
-V) echo "Python {knows}.1" ;;
*version_info*) echo {knows} ;;
*ensurepip*) exit {ensurepip} ;;
"-m venv"*)
    mkdir -p "$4/bin"
    cp "$0" "$4/bin/python"
    printf '#!/bin/sh\\n{uv}\\n' >"$4/bin/uv"
    chmod +x "$4/bin/uv"
    ;;
"-m pip"*) {pip} ;;
esac
"""


@pytest.fixture
def clone() -> Iterator[Path]:
    """The parts of a clone that a first `make` reads, in a path that a shell has to quote."""
    # Not below pytest's folder, which is closed to others: see the read-only clone.
    folder = Path(tempfile.mkdtemp(prefix="ugc "))
    folder.chmod(0o755)
    clone = folder / "клон $HOME 'of' mine"
    (clone / "local").mkdir(parents=True)
    for name in ("Makefile", "local/bootstrap.sh", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, clone / name)
    shutil.copy(ROOT / "requirements-bootstrap.lock", clone)
    for name in (
        "libs/ugc-events",
        "libs/ugc-settings",
        "services/ugc-api",
        "services/etl",
        "local",
    ):
        (clone / name).mkdir(parents=True, exist_ok=True)
        (clone / name / "pyproject.toml").touch()
    yield clone
    clone.chmod(0o755)
    shutil.rmtree(folder)


def stub(
    clone: Path, *, knows: str = "3.12", ensurepip: int = 0, pip: str = "exit 0", uv: str = "exit 0"
) -> str:
    python = clone.parent / f"python {knows}"
    python.write_text(PYTHON.format(knows=knows, ensurepip=ensurepip, pip=pip, uv=uv))
    python.chmod(0o755)
    return str(python)


def make(clone: Path, *words: str, user: int | None = None) -> tuple[int, str]:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", *words],
        cwd=clone,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        user=user,
    )
    return done.returncode, done.stdout


def sentence(clone: Path, python: str) -> str:
    status, out = make(clone, "setup", f"PYTHON={python}")
    assert status == 2
    assert not (clone / ".venv" / ".ready").exists()
    (said,) = (line for line in out.splitlines() if line.startswith("failed: "))
    return said


def test_an_environment_is_made_once_and_again_where_the_clone_was_moved(clone):
    python = f"PYTHON={stub(clone)}"
    status, out = make(clone, "setup", python)
    assert (status, "setting up .venv as locked, with Python 3.12" in out) == (0, True)
    status, out = make(clone, "setup", python)
    assert (status, "setting up" in out) == (0, False)
    moved = clone.rename(clone.with_name("elsewhere"))
    status, out = make(moved, "setup", python)
    assert (status, "setting up" in out) == (0, True)
    moved.rename(clone)


def test_no_python_at_all(clone):
    assert "there is no python9 on PATH: install Python 3.11" in sentence(clone, "python9")


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.15"])
def test_a_python_that_is_too_old_or_too_new(clone, version):
    said = sentence(clone, stub(clone, knows=version))
    assert f"is Python {version}; the platform needs 3.11 to 3.14: make PYTHON=" in said


def test_a_python_that_does_not_start(clone):
    broken = clone.parent / "python"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    assert "does not start: name a Python that does" in sentence(clone, str(broken))


def test_a_debian_without_venv(clone):
    assert "apt install python3-venv; or make PYTHON=" in sentence(clone, stub(clone, ensurepip=1))


def test_no_network_for_pip(clone):
    python = stub(clone, pip="echo no route to host; exit 1")
    assert "uv could not be fetched from the package index (is there a network" in sentence(
        clone, python
    )


def test_no_network_for_uv_quotes_its_last_lines(clone):
    python = stub(clone, uv="echo tcp connect error; exit 2")
    status, out = make(clone, "setup", f"PYTHON={python}")
    assert status == 2
    assert "failed: packages could not be installed (is there a network" in out
    assert "\n  tcp connect error\n" in out


def test_a_clone_that_cannot_be_written(clone):
    clone.chmod(0o555)
    nobody = 65534
    status, out = make(
        clone, "setup", f"PYTHON={stub(clone)}", user=nobody if os.geteuid() == 0 else None
    )
    assert status == 2
    assert "cannot be written, and .venv and build belong there: clone it to a folder" in out


def test_every_target_has_a_line_of_help(clone):
    status, out = make(clone, "help")
    assert status == 0
    listed = {line.split()[1] for line in out.splitlines()}
    for name in ("setup", "test", "demo", "up", "down", "status", "send", "query", "logs"):
        assert name in listed
