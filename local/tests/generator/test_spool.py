import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from ugc_local.generator.spool import FAN_IN, Spool


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(), unique=True), st.integers(1, 40))
def test_what_goes_in_comes_out_in_order(numbers: list[int], run: int) -> None:
    with Spool[int]() as spool:
        for start in range(0, len(numbers), run):
            spool.add(sorted(numbers[start : start + run]))
        assert list(spool.merged()) == sorted(numbers)


def test_many_runs_need_few_files_and_leave_none(tmp_path: Path) -> None:
    numbers = list(range(3 * FAN_IN * FAN_IN))
    random.Random(1).shuffle(numbers)
    with Spool[int](tmp_path) as spool:
        for start in range(0, len(numbers), 3):
            spool.add(sorted(numbers[start : start + 3]))
        assert sum(map(len, spool._levels)) <= 2 * FAN_IN
        assert list(spool.merged()) == sorted(numbers)
        assert not list(tmp_path.iterdir())


def test_one_run_needs_no_file(tmp_path: Path) -> None:
    with Spool[int](tmp_path / "not there") as spool:
        spool.add([1, 2, 3])
        assert list(spool.merged()) == [1, 2, 3]
