"""What every table writer promises: one suite for ClickHouse and for the memory."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest
from stores import connect, eventually
from ugc_etl.adapters.clickhouse import ClickHouse, ClickHouseAddress
from ugc_etl.adapters.memory import MemoryTables
from ugc_etl.native_block import Block, encode_column
from ugc_etl.ports import OutcomeUnknownError, RefusedError, TableWriter
from ugc_etl.schema import ServerRefused


@dataclass
class Place:
    writer: TableWriter
    table: str
    rows: Callable[[], int]


@pytest.fixture(params=["memory", pytest.param("clickhouse", marks=pytest.mark.integration)])
def place(request) -> Iterator[Place]:
    if request.param == "memory":
        memory = MemoryTables(clock_s=time.time())
        yield Place(memory, "t", lambda: sum(block.rows for _, _, block in memory.inserted))
        return
    with server_table(request.getfixturevalue("clickhouse")) as found:
        yield found


@contextmanager
def server_table(clickhouse, **changes) -> Iterator[Place]:
    """A table with a view, both with deduplication windows."""
    client = connect(clickhouse, **changes)
    client.read_clock()
    database = f"w{uuid4().hex[:10]}"
    table = f"{database}.t"
    window = "SETTINGS non_replicated_deduplication_window = 1000"
    for sql in (
        f"CREATE DATABASE {database}",
        f"CREATE TABLE {table} (n UInt64, name LowCardinality(String), "
        "_insert_by DateTime, CONSTRAINT in_time CHECK _insert_by >= now()) "
        f"ENGINE = MergeTree ORDER BY n {window}",
        f"CREATE TABLE {database}.sums (name String, n UInt64) "
        f"ENGINE = SummingMergeTree ORDER BY name {window}",
        f"CREATE MATERIALIZED VIEW {database}.mv TO {database}.sums AS "
        f"SELECT name, count() AS n FROM {table} GROUP BY name",
    ):
        client.execute(sql)
    try:
        yield Place(client, table, lambda: client.execute(f"SELECT count() FROM {table}")[0][0])
        client.execute(f"DROP DATABASE {database}")
    finally:
        client.close()


def block(rows: int, *, first: int = 0, insert_by_s: float | None = None) -> Block:
    deadline = int(time.time() + 60 if insert_by_s is None else insert_by_s)
    return Block(
        rows,
        (
            encode_column("n", "UInt64", range(first, first + rows)),
            encode_column("name", "LowCardinality(String)", [f"n{n % 7}" for n in range(rows)]),
            encode_column("_insert_by", "DateTime", [deadline] * rows),
        ),
    )


def test_an_inserted_block_is_there_when_the_call_returns(place):
    place.writer.insert(place.table, block(3), "one")
    assert place.rows() == 3


def test_a_token_counts_once_whatever_comes_with_it(place):
    place.writer.insert(place.table, block(3), "one")
    place.writer.insert(place.table, block(3), "one")
    place.writer.insert(place.table, block(3, insert_by_s=time.time() + 99), "one")
    assert place.rows() == 3
    place.writer.insert(place.table, block(3), "two")
    assert place.rows() == 6


def test_threads_insert_side_by_side(place):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: place.writer.insert(place.table, block(50), f"{n % 6}"), range(12)))
    assert place.rows() == 300


def test_the_clock_is_near_ours_on_one_machine(place):
    before_s = time.time()
    assert before_s - 5 <= place.writer.now_s() <= time.time() + 5


def test_a_closed_client_asks_nobody(unused_port):
    client = ClickHouse(
        ClickHouseAddress(host="127.0.0.1", port=unused_port, user="u", password="p"), time.time
    )
    client.close()
    with pytest.raises(OutcomeUnknownError, match="closed"):
        client.insert("t", block(1), "token")


@pytest.mark.integration
@pytest.mark.parametrize("compression", [False, "lz4"])
def test_a_batch_is_one_block_in_one_part_and_the_view_counts_it_once(clickhouse, compression):
    with server_table(clickhouse, compression=compression) as place:
        for _ in range(2):
            place.writer.insert(place.table, block(200_000), "large")
        database = place.table.split(".")[0]
        assert place.rows() == 200_000
        assert place.writer.execute(
            "SELECT count() FROM system.parts WHERE active "
            f"AND database = '{database}' AND table = 't'"
        ) == [(1,)]
        assert place.writer.execute(f"SELECT sum(n) FROM {database}.sums") == [(200_000,)]


@pytest.mark.integration
def test_rows_that_come_too_late_or_do_not_fit_are_refused_and_nothing_lands(clickhouse):
    with server_table(clickhouse) as place:
        with pytest.raises(RefusedError, match="in_time"):
            place.writer.insert(place.table, block(3, insert_by_s=time.time() - 5), "late")
        other = Block(1, (encode_column("missing", "UInt8", [1]),))
        with pytest.raises(RefusedError, match="missing"):
            place.writer.insert(place.table, other, "other")
        with pytest.raises(RefusedError, match="nowhere"):
            place.writer.insert("nowhere.t", block(1), "t")
        assert place.rows() == 0
        # A refusal costs a connection, not the writer.
        place.writer.insert(place.table, block(3), "late")
        assert place.rows() == 3


@pytest.mark.integration
def test_a_statement_that_the_server_refuses_has_its_code(clickhouse):
    client = connect(clickhouse)
    with pytest.raises(ServerRefused, match="nowhere") as caught:
        client.execute("SELECT * FROM nowhere.t")
    assert caught.value.code == 81
    client.close()
    stranger = connect(clickhouse, password="wrong")
    with pytest.raises(ServerRefused):
        stranger.execute("SELECT 1")
    stranger.close()


def test_without_a_server_the_outcome_is_unknown(unused_port):
    client = ClickHouse(
        ClickHouseAddress(host="127.0.0.1", port=unused_port, user="u", password="p"), time.time
    )
    with pytest.raises(OutcomeUnknownError, match=str(unused_port)):
        client.insert("t", block(1), "token")
    client.close()


@pytest.mark.integration
def test_an_insert_whose_answer_is_lost_is_repeated_and_counts_once(clickhouse, proxy):
    with server_table(clickhouse) as place:
        # The query and the sample block pass; the answer to the rows does not.
        proxy.swallow_behind_bytes = 10_000
        behind = connect(clickhouse, port=proxy.port, receive_timeout_s=1.0)
        with pytest.raises(OutcomeUnknownError):
            behind.insert(place.table, block(5000), "lost")
        behind.close()
        eventually(lambda: place.rows() == 5000)
        proxy.swallow_behind_bytes = float("inf")
        proxy.swallowing = False
        patient = connect(clickhouse, port=proxy.port)
        patient.insert(place.table, block(5000), "lost")
        assert place.rows() == 5000
        patient.close()
