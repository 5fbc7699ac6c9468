"""What the marts cost and what they save: `ugc_etl.schema` as it is migrated, measured.

    python benchmarks/schema/marts.py [--rows 1000000] [--batch-rows 10000]

Prints: bytes of alternatives for a viewing's state; the cost of an insert with and without the
materialized views and windows; ten questions on the views and on the raw table; the views over a
large mart. Times are wall clock of one engine with two threads, the best of three; only compare
them within a run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from raw_table import SELECT, Bench, print_table
from ugc_etl.schema import Deployment, migrate

BUCKET = "toUInt16(least(intDiv(position_ms, 60000), intDiv(greatest(duration_ms, 1) - 1, 60000)))"
TICK = "occurred_at DateTime64(3, 'UTC'), position_ms UInt32, bucket UInt16"
STATES = {
    "watched: groupBitmap(UInt16)": (
        "AggregateFunction(groupBitmap, UInt16)",
        "groupBitmapState(b)",
    ),
    "watched: groupBitmap(UInt32)": (
        "AggregateFunction(groupBitmap, UInt32)",
        "groupBitmapState(toUInt32(b))",
    ),
    "watched: uniqExact": ("AggregateFunction(uniqExact, UInt16)", "uniqExactState(b)"),
    "watched: groupUniqArrayArray": (
        "SimpleAggregateFunction(groupUniqArrayArray, Array(UInt16))",
        "groupUniqArrayArray([b])",
    ),
    "last: max of a tuple": (
        f"SimpleAggregateFunction(max, Tuple({TICK}))",
        "max((occurred_at, position_ms, b))",
    ),
    "last_seen, which argMax needs beside it": (
        "SimpleAggregateFunction(max, DateTime64(3, 'UTC'))",
        "max(occurred_at)",
    ),
    "last: argMax state": (
        "AggregateFunction(argMax, Tuple(UInt32, UInt16), Tuple(DateTime64(3, 'UTC'), UInt32))",
        "argMaxState((position_ms, b), (occurred_at, position_ms))",
    ),
}
CANDIDATE_READS = {
    "watched: groupBitmap(UInt16)": "groupBitmapMerge(value)",
    "watched: groupBitmap(UInt32)": "groupBitmapMerge(value)",
    "watched: uniqExact": "uniqExactMerge(value)",
    "watched: groupUniqArrayArray": "length(groupUniqArrayArray(value))",
    "last: max of a tuple": "max(value).bucket",
    "last_seen, which argMax needs beside it": "toUnixTimestamp(max(value))",
    "last: argMax state": "argMaxMerge(value).2",
}


class Client:
    """The bench's engine as a `SchemaClient`."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows as text."""
        return [tuple(row) for row in self._bench.run(sql)]


def states(bench: Bench) -> None:
    """Size and reading of a viewing's state, as many parts of it are merged."""
    out = []
    for index, (label, (kind, expression)) in enumerate(STATES.items()):
        name = f"state{index}"
        bench.run(
            f"CREATE TABLE bench.{name} (content_id UUID, viewer UInt64, value {kind}"
            " CODEC(ZSTD(1))) ENGINE = AggregatingMergeTree ORDER BY (content_id, viewer)"
            " SETTINGS min_bytes_for_wide_part = 0"
        )
        bench.run(
            f"INSERT INTO bench.{name} SELECT content_id, viewer, {expression} FROM"
            f" (SELECT *, {BUCKET} AS b FROM bench.sorted) GROUP BY content_id, viewer"
        )
        bench.run(f"OPTIMIZE TABLE bench.{name} FINAL")
        ((size, rows),) = bench.run(
            "SELECT sum(column_data_compressed_bytes), sum(rows) FROM system.parts_columns"
            f" WHERE active AND database = 'bench' AND table = '{name}' AND column = 'value'"
        )
        seconds, _ = bench.timed(
            f"SELECT sum(x) FROM (SELECT {CANDIDATE_READS[label]} AS x FROM bench.{name}"
            " GROUP BY content_id, viewer)"
        )
        out.append([label, int(size) / int(rows), f"{seconds * 1000:.0f}"])
        bench.run(f"DROP TABLE bench.{name} SYNC")
    print_table("State of a viewing", ["state", "bytes a viewing", "ms to read all"], out)


def fill(bench: Bench, deployment: Deployment) -> tuple[float, float]:
    """Insert all batches with their tokens; wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    source = SELECT.replace("toDateTime(intDiv(received_ms, 1000) + 120)", "now() + 600")
    for batch in range(bench.batches):
        bench.run(
            f"INSERT INTO {deployment.local('views')} {source} FROM bench.src"
            f" WHERE batch = {batch} SETTINGS max_threads = 1,"
            f" insert_deduplication_token = 'bench:{batch}'"
        )
    return time.perf_counter() - wall, time.process_time() - cpu


def inserts(bench: Bench) -> Deployment:
    """The cost of views and windows; returns the complete deployment, filled."""
    variants: dict[str, tuple[Deployment, list[str]]] = {
        "raw table alone": (Deployment("raw0", "asked0"), ["viewings_mv", "audience_mv"]),
        "with viewings": (Deployment("raw1", "asked1"), ["audience_mv"]),
        "with viewings and audience": (Deployment("raw2", "asked2"), []),
        "the same, window of 200,000": (
            Deployment("raw3", "asked3", deduplication_blocks=200_000),
            [],
        ),
    }
    out = []
    for label, (deployment, dropped) in variants.items():
        migrate(Client(bench), deployment)
        for view in dropped:
            bench.run(f"DROP VIEW {deployment.table(view)} SYNC")
        wall, cpu = fill(bench, deployment)
        each = 1000 / bench.batches
        out.append([label, f"{wall * each:.1f}", f"{cpu * each:.1f}"])
        if label != "with viewings and audience":
            bench.run(f"DROP DATABASE {deployment.database} SYNC")
    print_table("Cost of an insert", ["tables", "wall ms", "CPU ms"], out)
    return variants["with viewings and audience"][0]


def questions(bench: Bench, deployment: Deployment) -> None:
    """Ten questions, on the views and on the raw table."""
    raw, asked = deployment.table("views"), deployment.analytics_database
    ((film, viewer),) = bench.run(
        f"SELECT content_id, viewer FROM {raw} GROUP BY ALL ORDER BY count() DESC LIMIT 1"
    )
    viewing = (
        f"SELECT content_id, viewer, uniqExact({BUCKET}) AS watched, max(duration_ms) AS d,"
        f" argMax({BUCKET}, (occurred_at, position_ms)) AS last FROM {raw} {{where}}"
        " GROUP BY content_id, viewer"
    )
    everything, one = viewing.format(where=""), viewing.format(where=f"WHERE content_id = '{film}'")
    minutes = "ceil(max(d) OVER (PARTITION BY content_id) / 60000)"
    completion = f"(SELECT *, least(watched / {minutes}, 1) AS c FROM ({{}}))"
    asks: dict[str, tuple[str, str]] = {
        "most watched, 10 films": (
            f"SELECT * FROM {asked}.most_watched LIMIT 10",
            f"SELECT content_id, sum(watched) AS w, count() FROM ({everything}) GROUP BY content_id"
            " ORDER BY w DESC LIMIT 10",
        ),
        "abandoned most, 10 films": (
            f"SELECT * FROM {asked}.abandoned LIMIT 10",
            f"SELECT content_id, countIf(c >= 0.9) / count() AS f FROM"
            f" {completion.format(everything)} GROUP BY content_id HAVING count() >= 10"
            " ORDER BY f LIMIT 10",
        ),
        "figures of a film": (
            f"SELECT * FROM {asked}.film_stats WHERE content_id = '{film}'",
            "SELECT quantilesExactWeighted(0.25, 0.5, 0.75)(c, 1), topK(1)(last) FROM"
            f" {completion.format(one)}",
        ),
        "retention of a film": (
            f"SELECT minute, viewers FROM {asked}.retention WHERE content_id = '{film}'",
            f"SELECT {BUCKET} AS b, uniqExact(viewer) FROM {raw} WHERE content_id = '{film}'"
            " GROUP BY b",
        ),
        "retention of every film": (
            f"SELECT * FROM {asked}.retention",
            f"SELECT content_id, {BUCKET} AS b, uniqExact(viewer) FROM {raw}"
            " GROUP BY content_id, b",
        ),
        "who watched a film, and how far": (
            f"SELECT viewer, completion FROM {asked}.viewings WHERE content_id = '{film}'",
            f"SELECT viewer, c FROM {completion.format(one)}",
        ),
        "what a viewer watched": (
            f"SELECT title, completion FROM {asked}.viewings WHERE viewer = {viewer}",
            f"SELECT content_id, uniqExact({BUCKET}) FROM {raw} WHERE viewer = {viewer}"
            " GROUP BY content_id",
        ),
        "viewers of every film": (
            f"SELECT content_id, viewers FROM {asked}.film_stats",
            f"SELECT content_id, uniqExact(viewer) FROM {raw} GROUP BY content_id",
        ),
        "audience by quarter hour": (
            f"SELECT * FROM {asked}.audience",
            f"SELECT toStartOfFifteenMinutes(occurred_at) AS s, uniq(viewer) FROM {raw} GROUP BY s",
        ),
        "audience by hour in Kolkata": (
            f"SELECT * FROM {asked}.audience_by_hour_in(time_zone = 'Asia/Kolkata')",
            "SELECT toStartOfHour(toTimeZone(occurred_at, 'Asia/Kolkata')) AS h, uniq(viewer)"
            f" FROM {raw} GROUP BY h",
        ),
    }
    out = []
    for question, sqls in asks.items():
        cells: list[object] = [question]
        for sql in sqls:
            seconds, _ = bench.timed(sql)
            cells.append(f"{seconds * 1000:.0f} ms, {bench.rows_read(sql):,}")
        out.append(cells)
    ((mart, raws),) = bench.run(
        f"SELECT sumIf(bytes_on_disk, table = 'viewings'), sumIf(bytes_on_disk, table = 'views')"
        f" FROM system.parts WHERE active AND database = '{deployment.database}'"
    )
    print_table("Questions: time, rows read", ["question", "views", "raw table"], out)
    print(f"\n`viewings` {int(mart):,} bytes, `views` {int(raws):,} bytes")


def scale(bench: Bench, viewings: int) -> None:
    """The views over a mart of `viewings` viewings of 2,000 films (some 130 ticks each)."""
    deployment = Deployment("large", "asked_large")
    migrate(Client(bench), deployment)
    bench.run(
        f"INSERT INTO {deployment.local('viewings')}"
        " SELECT toUUID(concat('00000000-0000-4000-8000-', leftPad(toString(number % 2000), 12,"
        " '0'))), intDiv(number, 2000), groupBitmapState(toUInt16(m)), 6000000, now64(3),"
        " (now64(3), 60000 * max(m), toUInt16(max(m)))"
        " FROM (SELECT number, arrayJoin(range(5 + cityHash64(number) % 95)) AS m"
        f" FROM numbers({viewings})) GROUP BY number"
        " SETTINGS max_block_size = 10000, max_bytes_before_external_group_by = 300000000"
    )
    bench.run(f"OPTIMIZE TABLE {deployment.local('viewings')} FINAL")
    film = "00000000-0000-4000-8000-000000000007"
    out = []
    for question in (
        "most_watched LIMIT 10",
        "abandoned LIMIT 10",
        f"film_stats WHERE content_id = '{film}'",
        f"retention WHERE content_id = '{film}'",
        "retention",
        f"viewings WHERE content_id = '{film}'",
        "viewings WHERE viewer = 7",
    ):
        sql = f"SELECT * FROM {deployment.analytics_database}.{question}"
        seconds, _ = bench.timed(sql)
        out.append([f"`{question}`", f"{seconds * 1000:.0f}", f"{bench.rows_read(sql):,}"])
    print_table(f"Views over {viewings:,} viewings", ["view", "ms", "rows read"], out)


def main() -> None:
    """Measure all four."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch-rows", type=int, default=10_000)
    parser.add_argument("--viewings", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), options.rows, options.batch_rows)
        print(f"{options.rows:,} rows, {bench.batches} batches of up to {options.batch_rows:,}")
        states(bench)
        deployment = inserts(bench)
        bench.run(f"OPTIMIZE TABLE {deployment.table('views')} FINAL")
        bench.run(f"OPTIMIZE TABLE {deployment.table('viewings')} FINAL")
        questions(bench, deployment)
        scale(bench, options.viewings)
        bench.engine.close()


if __name__ == "__main__":
    main()
