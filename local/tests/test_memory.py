import os
import sys

from ugc_local.deadline import Deadline
from ugc_local.memory import MemorySampler
from ugc_local.process import Process, ProcessIdentity

HOLD = "data = bytearray(b'x') * ({mib} << 20); print('ready', flush=True); import signal; {more}"
CHILD = HOLD.format(mib=80, more="signal.pause()")
PARENT = HOLD.format(
    mib=40,
    more=f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])",
)


def test_peaks_include_descendants_and_count_each_process_once(tmp_path):
    process = Process(
        "family", [sys.executable, "-c", PARENT], log=tmp_path / "log", environ=os.environ,
        cwd=tmp_path,
    )  # fmt: skip
    try:
        assert Deadline.after(60).poll(lambda: (tmp_path / "log").read_text() == "ready\nready\n")
        named = {"family": process.identity, "tests": ProcessIdentity.of(os.getpid())}
        with MemorySampler(named) as sampler:
            assert Deadline.after(60).poll(lambda: sampler.peaks()["family"] >= 120)
        with MemorySampler({"tests": named["tests"]}) as alone:
            pass
    finally:
        process.stop(grace_s=20)
    peaks = sampler.peaks()
    assert 120 <= peaks["family"] < 200
    assert sampler.peak_total_mib <= sum(peaks.values())
    # Not named, the family counts for its nearest named ancestor.
    assert alone.peaks()["tests"] >= peaks["tests"] + 100


def test_what_has_ended_keeps_its_peak(tmp_path):
    process = Process(
        "brief", [sys.executable, "-c", CHILD], log=tmp_path / "log", environ=os.environ,
        cwd=tmp_path,
    )  # fmt: skip
    assert Deadline.after(60).poll(lambda: (tmp_path / "log").read_text() == "ready\n")
    with MemorySampler({"brief": process.identity}) as sampler:
        process.stop(grace_s=20)
    assert 80 <= sampler.peaks()["brief"] < 120
