"""In processes of their own: what malloc and the collector are told holds for all of it."""

import ctypes
import subprocess
import sys

import pytest

ONE_THREAD_AFTER_THE_OTHER = """
import threading
import psutil
from ugc_api.allocator import share_few_heaps

told = TOLD and share_few_heaps()
kept, turn, all_done = [], threading.Lock(), threading.Barrier(33)

def request():
    with turn:
        body = [bytes(60_000) for _ in range(100)]
        kept.append(bytes(2_000))
        del body
    all_done.wait()

before = psutil.Process().memory_info().rss
for _ in range(32):
    threading.Thread(target=request).start()
all_done.wait()
print(int(told), (psutil.Process().memory_info().rss - before) // 2**20)
"""


def run(code):
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return map(int, answer.stdout.split())


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc has to be told, and can be"
)
def test_threads_that_work_in_turns_need_the_memory_of_few():
    _, left_alone_mib = run(ONE_THREAD_AFTER_THE_OTHER.replace("TOLD", "False"))
    told, mib = run(ONE_THREAD_AFTER_THE_OTHER.replace("TOLD", "True"))
    assert told
    assert left_alone_mib > 50
    assert mib < 25  # two heaps of six


def test_what_stays_is_left_out_of_collections_and_cycles_still_go():
    frozen, found = run(
        "import gc\n"
        "from ugc_api.allocator import collect_garbage_seldom\n"
        "collect_garbage_seldom()\n"
        "frozen = gc.get_freeze_count()\n"
        "class Knot: pass\n"
        "knot = Knot(); knot.itself = knot; del knot\n"
        "print(frozen, gc.collect())\n"
    )
    assert frozen > 1000
    assert found >= 1
