import subprocess
import sys
from pathlib import Path

import pytest
from ugc_cluster.cache import directory, fingerprint, made_once

K8S_TESTS = Path(__file__).parents[1]
# Makes a thing slowly, and notes that it did.
MAKER = """
import pathlib, sys, time
from ugc_cluster.cache import made_once
root = pathlib.Path(sys.argv[1])
def make(target):
    with (root / "made").open("a") as log:
        log.write("x")
    (target / "half").touch()
    print("making", flush=True)
    time.sleep(float(sys.argv[2]))
    (target / "whole").touch()
print(made_once(root, "thing", make))
"""


def maker(root: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(root), str(seconds)],
        env={"PYTHONPATH": str(K8S_TESTS)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_of_several_one_makes_it(tmp_path: Path) -> None:
    makers = [maker(tmp_path, 0.5) for _ in range(3)]
    assert {each.communicate()[0].split()[-1] for each in makers} == {str(tmp_path / "thing")}
    assert (tmp_path / "made").read_text() == "x"
    assert (tmp_path / "thing" / "whole").exists()


def test_what_was_killed_is_made_anew(tmp_path: Path) -> None:
    with maker(tmp_path, 60) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "making\n"
        killed.kill()
    assert not (tmp_path / "thing").exists()
    found: list[str] = []
    made = made_once(tmp_path, "thing", lambda target: found.extend(map(str, target.iterdir())))
    assert (made.is_dir(), found) == (True, [])


def test_what_could_not_be_made_is_not_there(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").touch()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        made_once(tmp_path, "thing", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["thing.lock"]


def test_the_fingerprint_follows_names_contents_and_words(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("a")
    first = fingerprint([one], "word")
    assert first == fingerprint([one], "word")
    assert len({first, fingerprint([two], "word"), fingerprint([one], "words")}) == 3
    one.write_text("b")
    assert fingerprint([one], "word") != first


def test_where_it_is() -> None:
    assert directory({"XDG_CACHE_HOME": "/cache", "HOME": "/home"}) == Path("/cache/ugc-platform")
    assert directory({"HOME": "/home"}) == Path("/home/.cache/ugc-platform")
