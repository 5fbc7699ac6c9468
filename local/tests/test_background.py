import threading

import pytest
from ugc_local.background import BackgroundWork


class Counting(BackgroundWork):
    def __init__(self):
        self.seen = threading.Event()
        super().__init__("counting")

    def _run(self):
        while not self._stopped.wait(0.001):
            self.seen.set()


def threads():
    return [thread.name for thread in threading.enumerate()]


def test_it_runs_while_the_block_does():
    with Counting() as work:
        assert work.seen.wait(60)
        assert "counting" in threads()
    assert "counting" not in threads()


def test_an_error_in_the_block_ends_it_and_is_passed_on():
    with pytest.raises(ValueError, match="mine"), Counting():
        raise ValueError("mine")
    assert "counting" not in threads()
