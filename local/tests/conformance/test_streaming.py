"""Large results and large inserts pass through in bounded memory, at the client's pace."""

import http.client
import threading

import psutil
import pytest
from ugc_local.deadline import Deadline

pytestmark = [pytest.mark.integration, pytest.mark.own_process]

MIB = 1 << 20
# What the engine needs for a query of this kind, and what the client needs for a few blocks. The
# results are ten times as large and more.
SERVER_GROWTH, CLIENT_GROWTH = 160 * MIB, 60 * MIB


class Peak:
    """The most that a process grows, looked at a hundred times a second."""

    def __init__(self, pid):
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._before = self._peak = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.01):
            self._peak = max(self._peak, self._process.memory_info().rss)

    @property
    def growth(self):
        return self._peak - self._before


@pytest.fixture
def peaks(server, measured, request):
    # What is loaded once is not counted.
    server.ask("SELECT count() FROM numbers(10000000) FORMAT Null")
    server.client(settings={"use_numpy": True}).execute("SELECT number FROM numbers(100000)")
    with Peak(server.process.pid) as at_server, Peak(psutil.Process().pid) as at_client:
        yield
    measured[request.node.name] = {
        "server_growth_mib": round(at_server.growth / MIB),
        "client_growth_mib": round(at_client.growth / MIB),
    }
    assert at_server.growth < SERVER_GROWTH
    assert at_client.growth < CLIENT_GROWTH


@pytest.fixture(scope="session")
def rows(soak):
    return 200_000_000 if soak else 20_000_000


@pytest.mark.parametrize("compression", [False, "lz4"])
def test_a_result_over_native(server, peaks, rows, compression):
    client = server.client(compression=compression, settings={"use_numpy": True})
    connection = client.connection
    client.execute("SELECT 1")
    connection.send_query(f"SELECT number FROM numbers({rows})")
    connection.send_external_tables(None)
    count = total = 0
    while (packet := connection.receive_packet()).type != 5:  # end of stream
        assert packet.exception is None
        if packet.block is not None and packet.block.num_rows:
            [numbers] = packet.block.get_columns()
            count += len(numbers)
            total += int(numbers.sum())
    connection.is_query_executing = False
    assert (count, total) == (rows, rows * (rows - 1) // 2)


@pytest.mark.parametrize("form", ["RowBinary", "RowBinaryWithNamesAndTypes", "JSONCompact"])
def test_a_result_over_http(server, peaks, rows, form):
    rows = rows // 4 if form == "JSONCompact" else rows
    connection = http.client.HTTPConnection(*server.http, timeout=120)
    headers = {"X-ClickHouse-User": server.admin.name, "X-ClickHouse-Key": server.admin.password}
    sql = f"SELECT number FROM numbers({rows}) FORMAT {form}"
    connection.request("POST", "/", sql.encode(), headers)
    response = connection.getresponse()
    assert response.status == 200
    size = 0
    buffer = bytearray(MIB)
    while count := response.readinto(buffer):
        size += count
    connection.close()
    assert size >= rows * (8 if form.startswith("RowBinary") else 5)


def test_a_slow_reader_slows_the_query(server, peaks, eventually):
    mark = "slow reader"
    connection = http.client.HTTPConnection(*server.http, timeout=120)
    headers = {"X-ClickHouse-User": server.admin.name, "X-ClickHouse-Key": server.admin.password}
    sql = f"/* {mark} */ SELECT number, repeat('x', 100) FROM numbers(1000000000) FORMAT RowBinary"
    connection.request("POST", "/", sql.encode(), headers)
    response = connection.getresponse()
    assert len(response.read(MIB)) == MIB
    assert not Deadline.after(1.5).poll(lambda: server.running(mark) == 0)  # it waits
    connection.close()
    response.close()
    eventually(lambda: server.running(mark) == 0)


def test_an_insert_over_http(server, measured, table, soak):
    rows, piece = (50_000_000 if soak else 4_000_000), 100_000
    server.ask(f"CREATE TABLE {table} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")

    def body():
        for start in range(0, rows, piece):
            yield b"".join(b"%d\tabcdefgh\n" % n for n in range(start, start + piece))

    with Peak(server.process.pid) as at_server:
        put = server.request(f"INSERT INTO {table} FORMAT TabSeparated", body())
    assert put.status == 200, put.body
    measured["test_an_insert_over_http"] = {"server_growth_mib": round(at_server.growth / MIB)}
    assert at_server.growth < 500 * MIB  # a few blocks of a million rows, sorted
    assert server.ask(f"SELECT count(), sum(n) FROM {table}") == f"{rows}\t{rows * (rows - 1) // 2}"
