"""Sort keys, codecs and read-back indexes of the raw table, measured.

    python benchmarks/schema/raw_table.py [--rows 1000000] [--batch-rows 10000]

Prints one table per question. Times are wall clock of one engine with two threads, the best of
three; only compare them within a run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import chdb
from viewing_rows import STRUCTURE, write_rows

TIME = "DateTime64(3, 'UTC')"
TOPIC = "0190d5a0-1111-7000-8000-00000000abcd"
DEVICES = "['tv', 'phone', 'tablet', 'web', 'console']"
COLUMNS = {
    "event_id": "UUID",
    "type": "LowCardinality(String)",
    "occurred_at": TIME,
    "received_at": TIME,
    "user_id": "UUID",
    "session_id": "UUID",
    "schema_version": "UInt16",
    "content_id": "UUID",
    "position_ms": "UInt32",
    "duration_ms": "UInt32",
    "device": "LowCardinality(String)",
    "viewer": "UInt64",
    "_timestamp": TIME,
    "_topic_id": "UUID",
    "_partition": "UInt32",
    "_offset": "UInt64",
    "_generation": "UInt32",
    "_attempt": "UInt16",
    "_insert_by": "DateTime",
}
SELECT = f"""SELECT event_id, 'view_progress' AS type,
    fromUnixTimestamp64Milli(occurred_ms, 'UTC') AS occurred_at,
    fromUnixTimestamp64Milli(received_ms, 'UTC') AS received_at,
    user_id, session_id, 1 AS schema_version, content_id, position_ms, duration_ms,
    {DEVICES}[device + 1] AS device, viewer,
    fromUnixTimestamp64Milli(received_ms, 'UTC') AS _timestamp, toUUID('{TOPIC}') AS _topic_id,
    _partition, _offset, 0 AS _generation, 0 AS _attempt,
    toDateTime(intDiv(received_ms, 1000) + 120) AS _insert_by"""

KEYS = {
    "(_topic_id, _partition, _offset)": "_topic_id, _partition, _offset",
    "(type, occurred_at)": "type, occurred_at",
    "(content_id, occurred_at)": "content_id, occurred_at",
    "(content_id, viewer, occurred_at)": "content_id, viewer, occurred_at",
    "(viewer, content_id, occurred_at)": "viewer, content_id, occurred_at",
}
INDEXES = {
    "none": "",
    "minmax(_offset) per part": "INDEX o _offset TYPE minmax GRANULARITY 1000000",
    "minmax(_partition) + minmax(_offset) per part": (
        "INDEX p _partition TYPE minmax GRANULARITY 1000000,"
        " INDEX o _offset TYPE minmax GRANULARITY 1000000"
    ),
    "minmax(_offset) per granule": "INDEX o _offset TYPE minmax GRANULARITY 1",
    "minmax(_offset) + minmax(_partition) per 4 granules": (
        "INDEX o _offset TYPE minmax GRANULARITY 4, INDEX p _partition TYPE minmax GRANULARITY 4"
    ),
    "minmax((_partition, _offset)) per granule": (
        "INDEX o (_partition, _offset) TYPE minmax GRANULARITY 1"
    ),
    "projection of _part_offset by (_partition, _offset)": (
        "PROJECTION by_record (SELECT _part_offset ORDER BY _topic_id, _partition, _offset)"
    ),
    "projection of the key columns": (
        "PROJECTION by_record (SELECT _topic_id, _partition, _offset, _generation"
        " ORDER BY _topic_id, _partition, _offset)"
    ),
}
CODECS: dict[str, tuple[str, ...]] = {
    "event_id": ("LZ4", "ZSTD(1)", "NONE"),
    "occurred_at": ("LZ4", "ZSTD(1)", "Delta, LZ4", "Delta, ZSTD(1)", "DoubleDelta, ZSTD(1)"),
    "received_at": ("LZ4", "ZSTD(1)", "Delta, LZ4", "Delta, ZSTD(1)", "DoubleDelta, ZSTD(1)"),
    "user_id": ("LZ4", "ZSTD(1)"),
    "session_id": ("LZ4", "ZSTD(1)"),
    "content_id": ("LZ4", "ZSTD(1)"),
    "position_ms": ("LZ4", "ZSTD(1)", "Delta, LZ4", "Delta, ZSTD(1)", "T64, ZSTD(1)"),
    "duration_ms": ("LZ4", "ZSTD(1)", "T64, ZSTD(1)"),
    "viewer": ("LZ4", "ZSTD(1)"),
    "_partition": ("LZ4", "ZSTD(1)", "T64, ZSTD(1)"),
    "_offset": ("LZ4", "ZSTD(1)", "Delta, LZ4", "Delta, ZSTD(1)", "T64, ZSTD(1)"),
    "_insert_by": ("LZ4", "ZSTD(1)", "Delta, ZSTD(1)"),
}
# What the migration uses; a column that is absent takes the server's default, LZ4.
CHOSEN = {
    "event_id": "ZSTD(1)",
    "occurred_at": "Delta, ZSTD(1)",
    "received_at": "Delta, ZSTD(1)",
    "user_id": "ZSTD(1)",
    "session_id": "ZSTD(1)",
    "content_id": "ZSTD(1)",
    "position_ms": "Delta, ZSTD(1)",
    "duration_ms": "ZSTD(1)",
    "viewer": "ZSTD(1)",
    "_timestamp": "Delta, ZSTD(1)",
    "_topic_id": "ZSTD(1)",
    "_partition": "ZSTD(1)",
    "_offset": "Delta, ZSTD(1)",
    "_insert_by": "Delta, ZSTD(1)",
}
KEY = "content_id, viewer, occurred_at"


class Bench:
    """An engine in `directory` with the source rows, dealt into batches."""

    def __init__(self, directory: Path, rows: int, batch_rows: int) -> None:
        connect: Any = chdb.connect  # its annotations are incomplete
        self.engine = connect(
            # Without its cache of conditions: a repeated query would not read what it reads first.
            f"{directory}/engine?max_threads=2&use_query_condition_cache=0"
        )
        self.batches = write_rows(
            directory / "rows.bin", rows=rows, batch_rows=batch_rows, partitions=8, seed=7
        )
        self.run("CREATE DATABASE bench")
        self.run(f"CREATE TABLE bench.src ({STRUCTURE}) ENGINE = MergeTree ORDER BY batch")
        path = directory / "rows.bin"
        self.run(f"INSERT INTO bench.src SELECT * FROM file('{path}', RowBinary, '{STRUCTURE}')")
        self.run(
            f"CREATE TABLE bench.sorted ENGINE = MergeTree ORDER BY ({KEY}) AS {SELECT}"
            " FROM bench.src"
        )

    def run(self, sql: str) -> list[list[str]]:
        """The answer's rows, as text."""
        answer = str(self.engine.query(sql, "TSV"))
        return [line.split("\t") for line in answer.splitlines()]

    def timed(self, sql: str, best_of: int = 3) -> tuple[float, list[list[str]]]:
        """Seconds of the fastest run, and its rows."""
        seconds, rows = float("inf"), []
        for _ in range(best_of):
            start = time.perf_counter()
            rows = self.run(sql)
            seconds = min(seconds, time.perf_counter() - start)
        return seconds, rows

    def rows_read(self, sql: str) -> int:
        """Rows that the engine read for `sql`."""
        return int(self.engine.query(sql, "Null").storage_rows_read())

    def create(self, name: str, key: str, codecs: dict[str, str], extra: str = "") -> None:
        """A raw table of this sort key, codecs and indexes."""
        lines = [
            f"`{column}` {kind}" + (f" CODEC({codecs[column]})" if column in codecs else "")
            for column, kind in COLUMNS.items()
        ]
        body = ", ".join([*lines, extra] if extra else lines)
        self.run(
            f"CREATE TABLE bench.{name} ({body}) ENGINE = MergeTree"
            f" PARTITION BY toYYYYMM(_timestamp) ORDER BY ({key})"
        )

    def fill(self, name: str) -> float:
        """Insert batch by batch, as the ETL does; CPU seconds for all of them."""
        start = time.process_time()
        for batch in range(self.batches):
            self.run(
                f"INSERT INTO bench.{name} {SELECT} FROM bench.src WHERE batch = {batch}"
                " SETTINGS max_threads = 1"
            )
        return time.process_time() - start

    def bytes_per_row(self, name: str) -> tuple[float, float, float]:
        """Compressed data, indexes and projections, per row, after merging all parts."""
        self.run(f"OPTIMIZE TABLE bench.{name} FINAL")
        ((data, marks, disk, rows),) = self.run(
            "SELECT sum(data_compressed_bytes), sum(secondary_indices_compressed_bytes),"
            " sum(bytes_on_disk), sum(rows) FROM system.parts"
            f" WHERE active AND table = '{name}' AND database = 'bench'"
        )
        return int(data) / int(rows), int(marks) / int(rows), int(disk) / int(rows)


def print_table(title: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """One Markdown table on the standard output."""
    cells = [[f"{c:.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    heading = list(head)
    print(f"\n### {title}\n")
    print("| " + " | ".join(heading) + " |")
    print("|" + "---|" * len(heading))
    for row in cells:
        print("| " + " | ".join(row) + " |", flush=True)


def sort_keys(bench: Bench) -> None:
    """Size, insert cost and the raw questions, per sort key."""
    ((film, viewer),) = bench.run(
        "SELECT content_id, viewer FROM bench.src GROUP BY ALL ORDER BY count() DESC LIMIT 1"
    )
    questions = {
        "a film's ticks of an hour": (
            f"SELECT count() FROM bench.{{}} WHERE content_id = '{film}'"
            " AND occurred_at >= '2026-01-01 20:00:00' AND occurred_at < '2026-01-01 21:00:00'"
        ),
        "a viewer's path in a film": (
            f"SELECT count() FROM bench.{{}} WHERE content_id = '{film}' AND viewer = {viewer}"
        ),
        "all ticks of an hour": (
            "SELECT count() FROM bench.{} WHERE occurred_at >= '2026-01-01 20:00:00'"
            " AND occurred_at < '2026-01-01 21:00:00'"
        ),
        "a viewer's rows (erasure)": f"SELECT count() FROM bench.{{}} WHERE viewer = {viewer}",
        "rebuild the mart": (
            "SELECT count() FROM (SELECT content_id, viewer,"
            " groupBitmapState(toUInt16(intDiv(position_ms, 60000))) FROM bench.{}"
            " GROUP BY content_id, viewer)"
        ),
    }
    out = []
    for index, (label, key) in enumerate(KEYS.items()):
        name = f"key{index}"
        bench.create(name, key, CHOSEN)
        seconds = bench.fill(name)
        data, _, _ = bench.bytes_per_row(name)
        cells: list[object] = [f"`{label}`", data, f"{seconds * 1000 / bench.batches:.1f}"]
        for question in questions.values():
            sql = question.format(name)
            best, _ = bench.timed(sql)
            cells.append(f"{best * 1000:.0f} ms, {bench.rows_read(sql):,}")
        out.append(cells)
        bench.run(f"DROP TABLE bench.{name} SYNC")
    print_table("Sort keys", ["key", "bytes a row", "CPU ms an insert", *questions], out)


def codecs(bench: Bench) -> None:
    """Bytes a row of each column under each codec, and the time to read it."""
    out = []
    for column, candidates in CODECS.items():
        for index, codec in enumerate(candidates):
            name = f"codec_{column}_{index}"
            bench.run(
                f"CREATE TABLE bench.{name} (value {COLUMNS[column]} CODEC({codec}))"
                " ENGINE = MergeTree ORDER BY tuple()"
            )
            write, _ = bench.timed(
                f"INSERT INTO bench.{name} SELECT {column} FROM bench.sorted"
                " SETTINGS max_threads = 1, max_insert_threads = 1",
                best_of=1,
            )
            data, _, _ = bench.bytes_per_row(name)
            read, _ = bench.timed(f"SELECT ignore(value) FROM bench.{name} FORMAT Null")
            out.append([f"`{column}`", codec, data, f"{write * 1000:.0f}", f"{read * 1000:.0f}"])
            bench.run(f"DROP TABLE bench.{name} SYNC")
    print_table("Codecs", ["column", "codec", "bytes a row", "write ms", "read ms"], out)


def read_back(bench: Bench) -> None:
    """Is any row of [s, e) there? Per index; on the parts as they are and on one merged part."""
    offsets = bench.run("SELECT max(_offset) FROM bench.src WHERE _partition = 3")
    last = int(offsets[0][0])
    probes = {
        "last batch": (last - 1000, last),
        "not there yet": (last + 1, last + 1001),
        "old batch": (last // 2, last // 2 + 1000),
    }
    out = []
    for index, (label, extra) in enumerate(INDEXES.items()):
        name = f"index{index}"
        bench.create(name, KEY, CHOSEN, extra)
        bench.run(f"SYSTEM STOP MERGES bench.{name}")
        seconds = bench.fill(name)
        cells: list[object] = [label]
        for merged in (False, True):
            if merged:
                bench.run(f"SYSTEM START MERGES bench.{name}")
                _, _, disk = bench.bytes_per_row(name)
                cells.append(disk)
            for start, end in probes.values():
                sql = (
                    f"SELECT count() FROM bench.{name} WHERE _topic_id = '{TOPIC}'"
                    f" AND _partition = 3 AND _offset >= {start} AND _offset < {end}"
                    " AND _generation = 0"
                )
                best, _ = bench.timed(sql)
                cells.append(f"{best * 1000:.1f} ms, {bench.rows_read(sql):,}")
        cells.insert(1, f"{seconds * 1000 / bench.batches:.1f}")
        out.append(cells)
        bench.run(f"DROP TABLE bench.{name} SYNC")
    parts = [f"{probe} ({bench.batches} parts)" for probe in probes]
    whole = [f"{probe} (one part)" for probe in probes]
    head = ["index", "CPU ms an insert", *parts, "bytes a row on disk", *whole]
    print_table("Read-back by offsets", head, out)


def main() -> None:
    """Measure what was asked for."""
    sections: dict[str, Callable[[Bench], None]] = {
        "keys": sort_keys,
        "codecs": codecs,
        "read-back": read_back,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch-rows", type=int, default=10_000)
    parser.add_argument("--only", choices=sections, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), options.rows, options.batch_rows)
        print(f"{options.rows:,} rows, {bench.batches} batches of up to {options.batch_rows:,}")
        for name, section in sections.items():
            if not options.only or name in options.only:
                section(bench)
        bench.engine.close()


if __name__ == "__main__":
    main()
