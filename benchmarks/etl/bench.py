"""How near the ETL is to its limit.

    python benchmarks/etl/bench.py [--events 2000000] [--rounds 3] [--seconds 20] [--large 300]

Preloads view events into topics of 8, 1 and 64 partitions, then measures in turns, so that what
else the machine does falls on all of them alike: (a) the limit, a process with the ETL's client
and configuration that does nothing but read the values (once with Python's garbage collector as
it is by default, which `ratio` is to, and once as the ETL sets it); (b) `etl run`, everything on,
into migrated tables with their marts; (c) insert only. The backlogs are equal, so that what is
paid once weighs the same. `cpu_64_to_1_partitions` divides the CPU of (b) per event, from ready to
the last row, so the takeover is in it; `takeover_cpu_s` says how much that is, of topics whose
records wait, and `cpu_64_to_1_partitions_after_takeover` is what is left without it. The same
quotient of (a) is what reading from so many partitions costs by itself.

Ratios within one run mean something, CPU seconds are better than seconds, and figures of different
machines are not to be compared. Then: freshness at an even 20,000 events a second, and the memory
that a backlog of records as large as the broker takes needs.

Writes build/reports/bench-etl.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from load import backlog, large_records, stream, viewing
from ugc_events.registry import VIEWS
from ugc_local.credentials import ADMIN
from ugc_local.demo.freshness import Sampler, delays
from world import Etl, World, running_world

HERE = Path(__file__).parent
REPORT = Path("build/reports/bench-etl.json")
EIGHT, ONE, MANY = "p8.", "p1.", "p64."
PARTITIONS = {EIGHT: 8, ONE: 1, MANY: 64}
WAITING = "waiting."
STEADY_EVENTS_PER_S = 20_000
_POLL_S = 0.1
_STALLED_S = 120.0
_ANSWERED_S = 4.0
_IDLE_S = 4.0


@dataclass(frozen=True)
class Run:
    """One run of the ETL over a backlog.

    Attributes:
        events: rows that became visible.
        cpu_s, seconds: of the ETL, from ready to the last row.
        server_cpu_s: of ClickHouse, marts included.
        inserts: acknowledged.
        peak_rss_mib: of the ETL.
    """

    events: int
    cpu_s: float
    seconds: float
    server_cpu_s: float
    inserts: int
    peak_rss_mib: float


def catch_up(world: World, prefix: str, events: int) -> Run:
    """Let a new ETL take the whole backlog of a prefix into new tables."""
    deployment = world.new_tables()
    client = world.connect()
    with world.etl(deployment, prefix) as etl:
        started_s, cpu_s, server_cpu_s = time.monotonic(), etl.cpu_s(), world.server_cpu_s()

        def rows() -> int:
            [(count,)] = client.execute(f"SELECT count() FROM {deployment.table('views')}")
            return int(count)

        _until(lambda: rows() >= events, etl)
        cpu_s, server_cpu_s = etl.cpu_s() - cpu_s, world.server_cpu_s() - server_cpu_s
        seconds = time.monotonic() - started_s
        # The last rows are seen before their offsets are committed, and counted after that.
        _until(lambda: etl.metric(r"etl_rows_total\{.*\}") >= events, etl)
        run = Run(
            events=events,
            cpu_s=cpu_s,
            seconds=seconds,
            server_cpu_s=server_cpu_s,
            inserts=int(etl.metric(r"etl_insert_seconds_count\{.*\}")),
            peak_rss_mib=etl.peak_rss_mib,
        )
        if rows() != events:
            raise RuntimeError(f"{rows()} rows of {events} events")
    client.close()
    world.drop_tables(deployment)
    return run


def takeover(world: World, partitions: int, table: npt.NDArray[np.void]) -> float:
    """CPU seconds of a new ETL that leaves its records: from ready until all is answered.

    Without what it takes idle, which is measured afterwards.
    """
    prefix = f"{WAITING}{partitions}."
    world.create_topics(prefix, partitions)
    # One record in each: the tables are not asked about a partition without any.
    stream(
        world.bootstrap_servers, VIEWS.topic_of(prefix), table[:partitions], partitions,
        STEADY_EVENTS_PER_S,
    )  # fmt: skip
    deployment = world.new_tables()
    with world.etl(deployment, prefix, {"BATCH_MAX_AGE_MS": "600000"}) as etl:
        ready_cpu_s, ready_at_s = etl.cpu_s(), time.monotonic()
        _until(lambda: etl.log.read_text().count("ReadBack") >= partitions, etl)
        # The last answers come some time after the last question is logged.
        _let_pass(_ANSWERED_S, etl)
        cpu_s, at_s = etl.cpu_s(), time.monotonic()
        _let_pass(_IDLE_S, etl)
        idle_cores = (etl.cpu_s() - cpu_s) / (time.monotonic() - at_s)
    world.drop_tables(deployment)
    return cpu_s - ready_cpu_s - idle_cores * (at_s - ready_at_s)


def limit(world: World, prefix: str, events: int, collector: str) -> tuple[float, float]:
    """CPU seconds and seconds of reading the values only."""
    return _figures(
        "limit.py", world.bootstrap_servers, VIEWS.topic_of(prefix), PARTITIONS[prefix], events,
        collector,
    )  # fmt: skip


def insert_only(world: World, events: int, batch_rows: int) -> tuple[float, float]:
    """CPU seconds and seconds per million rows, from rows in memory to the acknowledgement."""
    deployment = world.new_tables()
    figures = _figures(
        "insert_only.py", world.bootstrap_servers, VIEWS.topic_of(EIGHT), PARTITIONS[EIGHT],
        events, batch_rows, world.clickhouse_port, ADMIN, world.clickhouse_password,
        deployment.table("views"),
    )  # fmt: skip
    world.drop_tables(deployment)
    return figures


def freshness(world: World, seconds: int, table: npt.NDArray[np.void]) -> dict[str, float]:
    """From the API's stamp to the first query that sees the row, at an even rate."""
    prefix = "steady."
    world.create_topics(prefix, 8)
    deployment = world.new_tables()
    client = world.connect()
    views = deployment.table("views")

    def sample() -> dict[tuple[str, int], int]:
        found = client.execute(f"SELECT _partition, max(_offset) FROM {views} GROUP BY _partition")
        return {("views", partition): offset for partition, offset in found}

    events = min(len(table), seconds * STEADY_EVENTS_PER_S)
    with world.etl(deployment, prefix) as etl:
        _until(lambda: etl.metric("etl_partitions") > 0, etl)
        sampler = Sampler(sample, interval_s=_POLL_S)
        sampler.start()
        cpu_s, started_s = etl.cpu_s(), time.monotonic()
        rate = stream(
            world.bootstrap_servers, VIEWS.topic_of(prefix), table[:events], 8, STEADY_EVENTS_PER_S
        )
        _until(lambda: sum(sample().values()) >= events - 8, etl)
        cpu_s, passed_s = etl.cpu_s() - cpu_s, time.monotonic() - started_s
        sightings = sampler.stop()
        inserts = etl.metric(r"etl_insert_seconds_count\{.*\}")
    rows = client.execute(
        f"SELECT _partition, _offset, toUnixTimestamp64Milli(received_at) FROM {views}"
    )
    found = delays(((("views", p), offset, at) for p, offset, at in rows), sightings)
    client.close()
    world.drop_tables(deployment)
    if found.count != events:
        raise RuntimeError(f"{found.count} rows seen of {events}")
    quantiles = {q: found.quantile_s(q) or 0.0 for q in (0.5, 0.99, 1.0)}
    return {
        "freshness_events_per_s": rate,
        "freshness_p50_s": quantiles[0.5],
        "freshness_p99_s": quantiles[0.99],
        "freshness_max_s": quantiles[1.0],
        "freshness_cores": cpu_s / passed_s,
        "freshness_inserts_per_s": inserts / passed_s,
    }


def large(world: World, records: int) -> float:
    """Peak memory over a backlog of the largest records, and of the largest headers."""
    prefix = "large."
    world.create_topics(prefix, 8)
    deployment = world.new_tables()
    sent = large_records(world.bootstrap_servers, VIEWS.topic_of(prefix), 8, records)
    with world.etl(deployment, prefix, {"DEAD_LETTER_LIMIT": "1000000"}) as etl:
        _until(lambda: etl.metric(r"etl_dead_letters_total\{.*\}") >= sent, etl)
        peak = etl.peak_rss_mib
    world.drop_tables(deployment)
    return peak


def main() -> None:
    """Measure, print the table, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20, help="of the steady stream")
    parser.add_argument("--large", type=int, default=300, help="records of the largest size")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        running_world(Path(directory)) as world,
    ):
        table = viewing(Path(directory), options.events, seed=5)
        for prefix, partitions in PARTITIONS.items():
            world.create_topics(prefix, partitions)
            started_s = time.monotonic()
            size = backlog(world.bootstrap_servers, VIEWS.topic_of(prefix), table, partitions)
            _say(
                f"{len(table):,} events of {size / len(table):.0f} bytes in {partitions} "
                f"partitions, {time.monotonic() - started_s:.0f} s"
            )
        report = measure(world, options.rounds, table)
        if options.seconds:
            report |= freshness(world, options.seconds, table)
        if options.large:
            report["peak_rss_large_records_mib"] = large(world, options.large)
    report = {name: round(value, 3) for name, value in report.items()}
    width = max(map(len, report))
    for name, value in report.items():
        _say(f"{name:{width}}  {value:>12,.3f}".rstrip("0").rstrip("."))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1) + "\n")


def measure(world: World, rounds: int, table: npt.NDArray[np.void]) -> dict[str, float]:
    """The three in turns, and 1 and 64 partitions; medians."""
    events = len(table)
    limits: dict[str, list[tuple[float, float]]] = {EIGHT: [], ONE: [], MANY: []}
    seldom: list[tuple[float, float]] = []
    runs: dict[str, list[Run]] = {EIGHT: [], ONE: [], MANY: []}
    inserts: list[tuple[float, float]] = []
    for number in range(rounds):
        seldom.append(limit(world, EIGHT, events, "seldom"))
        for prefix, done in runs.items():
            limits[prefix].append(limit(world, prefix, events, "default"))
            done.append(catch_up(world, prefix, events))
        seldom.append(limit(world, EIGHT, events, "seldom"))
        limits[EIGHT].append(limit(world, EIGHT, events, "default"))
        inserts.append(insert_only(world, min(events, 500_000), 20_000))
        last = {p: runs[p][-1].cpu_s / events * 1e6 for p in runs}
        _say(
            f"round {number + 1}: limit {events / limits[EIGHT][-2][0]:,.0f} and "
            f"{events / limits[EIGHT][-1][0]:,.0f}, etl {1e6 / last[EIGHT]:,.0f}, insert only "
            f"{1e6 / inserts[-1][0]:,.0f} events per CPU-second; CPU of 8, 1, 64 partitions "
            f"{last[EIGHT]:.2f}, {last[ONE]:.2f}, {last[MANY]:.2f} µs; peak "
            f"{runs[EIGHT][-1].peak_rss_mib:.0f} MiB"
        )
    eight = runs[EIGHT]
    cpu_of = {p: statistics.median(run.cpu_s for run in runs[p]) / events * 1e6 for p in runs}
    limit_of = {p: statistics.median(c for c, _ in limits[p]) / events * 1e6 for p in limits}
    takeovers = {p: takeover(world, PARTITIONS[p], table) for p in (ONE, MANY)}
    later = {p: cpu_of[p] - cpu_s / events * 1e6 for p, cpu_s in takeovers.items()}
    return {
        "limit_events_per_cpu_s": 1e6 / limit_of[EIGHT],
        "limit_seldom_collecting_events_per_cpu_s": events
        / statistics.median(cpu_s for cpu_s, _ in seldom),
        "limit_events_per_s": events / statistics.median(seconds for _, seconds in limits[EIGHT]),
        "etl_events_per_cpu_s": 1e6 / cpu_of[EIGHT],
        "etl_events_per_s": events / statistics.median(run.seconds for run in eight),
        "ratio": limit_of[EIGHT] / cpu_of[EIGHT],
        "insert_only_events_per_cpu_s": 1e6 / statistics.median(cpu_s for cpu_s, _ in inserts),
        "insert_only_events_per_s": 1e6 / statistics.median(seconds for _, seconds in inserts),
        "server_cpu_s_per_million": statistics.median(run.server_cpu_s for run in eight)
        / events
        * 1e6,
        "rows_per_insert": statistics.median(run.events / run.inserts for run in eight),
        "inserts_per_s": statistics.median(run.inserts / run.seconds for run in eight),
        "peak_rss_mib": max(run.peak_rss_mib for run in eight),
        "cpu_us_per_event_1_partition": cpu_of[ONE],
        "cpu_us_per_event_64_partitions": cpu_of[MANY],
        "cpu_64_to_1_partitions": cpu_of[MANY] / cpu_of[ONE],
        "cpu_most_to_least_of_1_8_64_partitions": max(cpu_of.values()) / min(cpu_of.values()),
        "takeover_cpu_s_1_partition": takeovers[ONE],
        "takeover_cpu_s_64_partitions": takeovers[MANY],
        "cpu_64_to_1_partitions_after_takeover": later[MANY] / later[ONE],
        "limit_64_to_1_partitions": limit_of[MANY] / limit_of[ONE],
        "inserts_per_s_64_partitions": statistics.median(r.inserts / r.seconds for r in runs[MANY]),
        "rows_per_insert_64_partitions": statistics.median(
            r.events / r.inserts for r in runs[MANY]
        ),
        "peak_rss_64_partitions_mib": max(run.peak_rss_mib for run in runs[MANY]),
    }


def _until(done: Callable[[], bool], etl: Etl) -> None:
    """Poll, and watch the process's memory meanwhile."""
    over = threading.Event()
    until_s = time.monotonic() + _STALLED_S
    while not done():
        etl.sample_memory()
        if time.monotonic() > until_s or not etl.process.is_running():
            raise RuntimeError(f"the ETL does not come to an end: {etl.log.read_text()[-2000:]}")
        over.wait(_POLL_S)
    etl.sample_memory()


def _let_pass(seconds: float, etl: Etl) -> None:
    until_s = time.monotonic() + seconds
    _until(lambda: time.monotonic() >= until_s, etl)


def _figures(script: str, *arguments: object) -> tuple[float, float]:
    command: Sequence[str] = [sys.executable, str(HERE / script), *map(str, arguments)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    first, second = answer.stdout.split()
    return float(first), float(second)


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    main()
