"""Compression both ways, over both protocols.

https://clickhouse.com/docs/interfaces/http#compression,
https://clickhouse.com/docs/native-protocol/basics (compression)
"""

import bz2
import gzip
import lzma
import zlib

import lz4.frame
import pytest
from ugc_local.clickhouse.compression import encode_frames, unpack, unpack_frames, zstd

pytestmark = pytest.mark.integration

ROWS = "SELECT number, repeat('x', number % 50) FROM numbers(50000)"
PACK = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "lz4": lz4.frame.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


@pytest.fixture(scope="module")
def wanted(running_server):
    return running_server.request(f"{ROWS} FORMAT TabSeparated").body


@pytest.mark.parametrize("coding", list(PACK))
def test_replies(server, wanted, coding):
    headers = {"Accept-Encoding": coding}
    plain = server.request(ROWS, headers=headers, enable_http_compression="0")
    assert ("Content-Encoding" in plain.headers, plain.body) == (False, wanted)
    reply = server.request(ROWS, headers=headers, enable_http_compression="1")
    assert reply.headers["Content-Encoding"] == coding
    assert b"".join(unpack(coding, [reply.body])) == wanted
    assert len(reply.body) < len(wanted) / 2
    buffered = server.request(
        f"{ROWS} FORMAT JSON", headers=headers, enable_http_compression="1", wait_end_of_query="1"
    )
    assert buffered.headers["Content-Encoding"] == coding
    assert b"".join(unpack(coding, [buffered.body])).count(b'"number"') == 50_001


def test_one_of_those_that_are_accepted_is_chosen(server, wanted):
    for accepted in ("gzip, deflate", "identity, lz4;q=0.5, nosuch", "zstd"):
        reply = server.request(
            ROWS, headers={"Accept-Encoding": accepted}, enable_http_compression="1"
        )
        coding = reply.headers["Content-Encoding"]
        assert coding in accepted
        assert b"".join(unpack(coding, [reply.body])) == wanted
    for accepted in ("", "identity", "nosuch"):
        reply = server.request(
            ROWS, headers={"Accept-Encoding": accepted}, enable_http_compression="1"
        )
        assert "Content-Encoding" not in reply.headers
        assert reply.body == wanted


@pytest.mark.parametrize("coding", list(PACK))
def test_bodies(server, table, coding):
    server.ask(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    headers = {"Content-Encoding": coding}
    assert server.request(PACK[coding](b"SELECT 'packed'"), headers=headers).text == "packed"
    rows = b"".join(b"%d\n" % n for n in range(100_000))
    put = server.request(f"INSERT INTO {table} FORMAT TSV", PACK[coding](rows), headers=headers)
    assert put.status == 200, put.body
    assert server.ask(f"SELECT count(), sum(n) FROM {table}") == f"100000\t{sum(range(100_000))}"
    whole = PACK[coding](f"INSERT INTO {table} FORMAT TSV\n7\n".encode())
    assert server.request(whole, headers=headers).status == 200
    assert server.ask(f"SELECT count() FROM {table}") == "100001"


def test_frames_of_one_body_may_follow_one_another(server, table):
    """clickhouse-connect packs each of its blocks by itself."""
    server.ask(f"CREATE TABLE {table} (n UInt64) ENGINE = Memory")
    for coding in ("lz4", "zstd", "gzip"):
        body = PACK[coding](b"1\n2\n") + PACK[coding](b"3\n")
        put = server.request(
            f"INSERT INTO {table} FORMAT TSV", body, headers={"Content-Encoding": coding}
        )
        assert put.status == 200
    assert server.ask(f"SELECT count(), sum(n) FROM {table}") == "9\t18"


@pytest.mark.parametrize("coding", ["lz4", "zstd", "gzip", False])
def test_clickhouse_connect(server, table, coding):
    web = server.connect(compress=coding)
    server.ask(f"CREATE TABLE {table} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    rows = [[n, "x" * (n % 100)] for n in range(20_000)]
    web.insert(table, rows)
    assert list(map(list, web.query(f"SELECT * FROM {table} ORDER BY n").result_rows)) == rows


@pytest.mark.parametrize("method", [0x02, 0x82, 0x90], ids=["none", "lz4", "zstd"])
def test_clickhouses_own_frames_over_http(server, wanted, table, method):
    reply = server.request(ROWS, compress="1")
    assert b"".join(unpack_frames([reply.body])) == wanted
    server.ask(f"CREATE TABLE {table} (n UInt64) ENGINE = Memory")
    body = encode_frames(b"1\n2\n", method) + encode_frames(b"3\n", method)
    assert server.request(f"INSERT INTO {table} FORMAT TSV", body, decompress="1").status == 200
    assert server.ask(f"SELECT sum(n) FROM {table}") == "6"
    damaged = bytearray(encode_frames(b"4\n", method))
    damaged[-1] ^= 1
    assert server.request(f"INSERT INTO {table} FORMAT TSV", bytes(damaged), decompress="1").code
    assert server.ask(f"SELECT sum(n) FROM {table}") == "6"


@pytest.mark.parametrize("method", [False, "lz4", "lz4hc", "zstd"])
def test_native(server, table, method):
    chosen = {"network_compression_method": str(method).upper()} if method else {}
    client = server.client(compression=method, settings=chosen)
    server.ask(f"CREATE TABLE {table} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    columns = [list(range(50_000)), ["y" * 50] * 50_000]
    client.execute(f"INSERT INTO {table} VALUES", columns, columnar=True)
    found = client.execute(f"SELECT n, s FROM {table} ORDER BY n", columnar=True)
    assert [list(column) for column in found] == columns
