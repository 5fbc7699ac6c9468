"""What the API costs, beside a Flask route that does nothing.

    python benchmarks/api/bench_api.py [--rounds 3] [--seconds 6] [--soak 600]

One gunicorn worker as it is deployed, with everything on (tokens, metrics, the acknowledgement of
a real broker), and a bare Flask route on the same kind of worker. Both get the same requests, in
turns, so that what else the machine does falls on both alike. Every viewer has a token of its own,
and there are more of them than the API remembers tokens: as behind a real load balancer, each
request's token has to be verified. Then single events at 70 % of what was the most, by the clock
(open loop: latency counts from when a request was due), and a soak in which every kind of request
comes. At the end the broker has to have as many records as were accepted.

Figures are per CPU-second of the worker, with all its threads. Ratios within one run mean
something; figures of different machines are not to be compared. Writes
build/reports/bench-api.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api_load import Result
from api_server import Worker, World, running_world, write_json

REPORT = Path("build/reports/bench-api.json")
VIEWERS = 20_000
REMEMBERED = 200
SHARE = 0.7
_SAMPLE_S = 1.0
_WARM_UP_SHARE = 0.2
_ACCEPTED = "202"


@dataclass(frozen=True)
class Kind:
    """A kind of load.

    Attributes:
        size: events of one request.
        viewers: with a token and a request each; so many that none comes to its rate limit.
        bodies: different ones.
        connections: as many requests are in flight.
    """

    size: int
    viewers: int
    bodies: int
    connections: int


SINGLE = Kind(1, VIEWERS, 2000, 32)
KNOWN = Kind(1, REMEMBERED, 200, 32)
HUNDRED = Kind(100, 2000, 300, 16)
THOUSAND = Kind(1000, 2000, 30, 8)


@dataclass(frozen=True)
class Turn:
    """One load on one worker.

    Attributes:
        requests, events: accepted.
        cpu_s: of the worker.
    """

    requests: int
    events: int
    cpu_s: float
    result: Result


def turn(worker: Worker, kind: Kind, seconds: float, per_s: float = 0.0) -> Turn:
    """Let one load run. Raises RuntimeError when something was not accepted."""
    cpu_s = worker.cpu_s()
    result = worker.load(
        size=kind.size,
        viewers=kind.viewers,
        bodies=kind.bodies,
        connections=kind.connections,
        seconds=seconds,
        per_s=per_s,
    )
    cpu_s = worker.cpu_s() - cpu_s
    if result.statuses.keys() != {_ACCEPTED}:
        raise RuntimeError(f"not everything was accepted: {result.statuses}")
    requests = result.statuses[_ACCEPTED]
    return Turn(requests, requests * kind.size, cpu_s, result)


class Resident(threading.Thread):
    """Samples a worker's resident memory until told to stop."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(name="resident", daemon=True)
        self.samples: list[tuple[float, float]] = []
        self._worker = worker
        self._stopped = threading.Event()

    def run(self) -> None:
        """See threading.Thread."""
        while not self._stopped.wait(_SAMPLE_S):
            self.samples.append((time.monotonic(), self._worker.rss_mib()))

    def stop(self) -> None:
        """Return when it has stopped."""
        self._stopped.set()
        self.join()

    def warm(self) -> list[tuple[float, float]]:
        """What came after the warm-up."""
        return self.samples[int(len(self.samples) * _WARM_UP_SHARE) :]

    def slope_kib_per_min(self) -> float:
        """Of a straight line through it."""
        warm = self.warm()
        slope = statistics.linear_regression([at for at, _ in warm], [mib for _, mib in warm]).slope
        return slope * 1024 * 60


@contextmanager
def resident(worker: Worker) -> Iterator[Resident]:
    """Sample inside the block."""
    sampler = Resident(worker)
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.stop()


def speed(world: World, rounds: int, seconds: float) -> tuple[dict[str, float], int]:
    """Everything in turns; the figures, and how many events were accepted."""
    turns: dict[str, list[Turn]] = {}
    for number in range(rounds):
        for name, worker, kind in (
            ("bare", world.bare, SINGLE),
            ("single", world.api, SINGLE),
            ("known", world.api, KNOWN),
            ("batch100", world.api, HUNDRED),
            ("batch1000", world.api, THOUSAND),
        ):
            turns.setdefault(name, []).append(turn(worker, kind, seconds))
        last = {name: done[-1] for name, done in turns.items()}
        _say(
            f"round {number + 1}: "
            + ", ".join(f"{n} {t.events / t.cpu_s:,.0f}" for n, t in last.items())
            + f" events per CPU-second; load average {os.getloadavg()[0]:.1f}"
        )

    def per_cpu_s(name: str) -> float:
        return statistics.median(t.events / t.cpu_s for t in turns[name])

    def per_s(name: str) -> float:
        return statistics.median(t.events / t.result.seconds for t in turns[name])

    figures = {
        "bare_req_per_cpu_s": per_cpu_s("bare"),
        "single_req_per_cpu_s": per_cpu_s("single"),
        "ratio": per_cpu_s("single") / per_cpu_s("bare"),
        "ratio_known_tokens": per_cpu_s("known") / per_cpu_s("bare"),
        "batch100_events_per_cpu_s": per_cpu_s("batch100"),
        "batch1000_events_per_cpu_s": per_cpu_s("batch1000"),
        "bare_req_per_s": per_s("bare"),
        "single_req_per_s": per_s("single"),
        "batch100_events_per_s": per_s("batch100"),
        "batch1000_events_per_s": per_s("batch1000"),
        "load_cpu_share": statistics.median(
            t.result.cpu_s / t.result.seconds for t in turns["single"]
        ),
    }
    accepted = sum(t.events for name, done in turns.items() if name != "bare" for t in done)
    return figures, accepted


def steady(world: World, per_s: float, seconds: float) -> tuple[dict[str, float], int]:
    """Single events at an even rate."""
    # More connections than threads: a late answer must not hold up what is due.
    done = turn(world.api, Kind(1, VIEWERS, 2000, 128), seconds, per_s)
    figures = {
        "steady_req_per_s": done.requests / done.result.seconds,
        "p50_ms_at_70pct": done.result.p50_ms,
        "p99_ms_at_70pct": done.result.p99_ms,
        "max_ms_at_70pct": done.result.max_ms,
    }
    return figures, done.events


def soak(world: World, per_s: float, seconds: float) -> tuple[dict[str, float], int]:
    """Every kind of load at once at about half of what the worker can, and scrapes."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(5.0):
            world.api.scrape()

    loads = [(SINGLE, per_s / 4), (HUNDRED, per_s / 100), (THOUSAND, 1.0)]
    with resident(world.api) as memory, ThreadPoolExecutor(len(loads) + 1) as pool:
        scraping = pool.submit(scrape)
        try:
            works = [pool.submit(turn, world.api, kind, seconds, rate) for kind, rate in loads]
            accepted = sum(work.result().events for work in works)
        finally:
            over.set()
        scraping.result()
    figures = {
        "rss_mib": max(mib for _, mib in memory.samples),
        "rss_warm_mib": memory.warm()[0][1],
        "soak_s": seconds,
        "soak_slope_kib_per_min": memory.slope_kib_per_min(),
    }
    return figures, accepted


def show(figures: Mapping[str, float], targets: Mapping[str, str]) -> None:
    """Print the table."""
    width = max(map(len, figures))
    for name, value in figures.items():
        shown = f"{value:>12,.3f}".rstrip("0").rstrip(".")
        _say(f"{name:{width}}  {shown:12}  {targets.get(name, '')}".rstrip())


TARGETS = {
    "ratio": "at least 0.4",
    "batch100_events_per_cpu_s": "at least 60,000",
    "batch1000_events_per_cpu_s": "at least 150,000",
    "p99_ms_at_70pct": "at most 50",
    "rss_mib": "at most 120",
    "soak_slope_kib_per_min": "about 0",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn (%(default)s)")
    parser.add_argument("--steady", type=float, default=20.0, help="seconds at 70 %%; 0: none")
    parser.add_argument("--soak", type=float, default=600.0, help="seconds; 0: none")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as directory,
        running_world(Path(directory), dict(os.environ)) as world,
    ):
        turn(world.api, HUNDRED, 1.0)
        turn(world.bare, SINGLE, 1.0)
        before = world.records()
        figures, accepted = speed(world, options.rounds, options.seconds)
        for measure, rate, taken_s in (
            (steady, SHARE * figures["single_req_per_s"], options.steady),
            (soak, figures["single_req_per_s"], options.soak),
        ):
            if taken_s:
                more, events = measure(world, rate, taken_s)
                _say(", ".join(f"{name} {value:,.1f}" for name, value in more.items()))
                figures |= more
                accepted += events
        records = world.records() - before
        if records != accepted:
            raise RuntimeError(f"{accepted} events accepted, {records} records in Kafka")
    figures = {name: round(value, 3) for name, value in figures.items()}
    show(figures, TARGETS)
    write_json(REPORT, figures)


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    main()
