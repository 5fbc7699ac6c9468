"""In a process of its own: what malloc is told holds for all of it."""

import ctypes
import subprocess
import sys

import pytest

LEAVES_HOLES = """
import psutil
from ugc_etl.allocator import give_back_large_blocks

told = TOLD and give_back_large_blocks()
before = psutil.Process().memory_info().rss
small = []
for _ in range(4):
    large = []
    for number in range(100):
        large.append(bytes([number]) * 1_000_000)
        small.append(bytes([number]) * 100_000)
    del large
print(int(told), (psutil.Process().memory_info().rss - before) // 2**20)
"""


def left_mib(told):
    code = LEAVES_HOLES.replace("TOLD", str(told))
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    took_effect, mib = map(int, answer.stdout.split())
    return took_effect, mib


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc has to be told, and can be"
)
def test_large_blocks_between_small_ones_leave_no_holes():
    assert left_mib(told=False)[1] > 100
    took_effect, mib = left_mib(told=True)
    assert took_effect
    assert mib < 60  # 38 of them are the small ones
