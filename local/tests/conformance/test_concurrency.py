"""Writers and readers at once: each INSERT is seen whole or not at all, by whoever looks how."""

import threading
import uuid

import pytest

pytestmark = pytest.mark.integration

SIZE = 2000


class Crew:
    """Threads, of which any failure is the test's."""

    def __init__(self):
        self._threads, self._failures = [], []

    def send(self, work, *arguments):
        def run():
            try:
                work(*arguments)
            except BaseException as error:
                self._failures.append(error)
                raise

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def join(self):
        for thread in self._threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in self._threads)
        assert not self._failures


def test_writers_and_readers_of_both_protocols(server, table, soak):
    batches = 200 if soak else 12
    server.ask(
        f"CREATE TABLE {table} (w UInt8, b UInt32, n UInt64) ENGINE = MergeTree ORDER BY (w, n)"
    )
    written = threading.Event()
    looks = []

    def write_native(writer):
        client = server.client()
        for batch in range(batches):
            rows = list(range(batch * SIZE, (batch + 1) * SIZE))
            client.execute(
                f"INSERT INTO {table} VALUES",
                [[writer] * SIZE, [batch] * SIZE, rows],
                columnar=True,
            )

    def write_http(writer):
        for batch in range(batches):
            rows = range(batch * SIZE, (batch + 1) * SIZE)
            body = "".join(f"{writer}\t{batch}\t{n}\n" for n in rows).encode()
            assert server.request(f"INSERT INTO {table} FORMAT TSV", body).status == 200

    check = f"SELECT count(), uniqExact(w, n), uniqExact(w, b) FROM {table}"

    def read_native():
        client, last = server.client(), 0
        while True:
            over = written.is_set()
            rows, distinct, whole = client.execute(check)[0]
            assert rows == distinct == whole * SIZE
            assert rows >= last  # what was seen stays
            looks.append(last := rows)
            if over:
                return

    def read_http():
        last = 0
        while True:
            over = written.is_set()
            rows, distinct, whole = map(int, server.ask(check).split("\t"))
            assert rows == distinct == whole * SIZE
            assert rows >= last
            looks.append(last := rows)
            if over:
                return

    readers, writers = Crew(), Crew()
    for read in (read_native, read_native, read_http, read_http):
        readers.send(read)
    for writer in range(4):
        writers.send(write_native if writer % 2 else write_http, writer)
    try:
        writers.join()
    finally:
        written.set()
        readers.join()
    total = batches * SIZE
    assert max(looks) == 4 * total
    found = server.ask(f"SELECT w, count(), sum(n) FROM {table} GROUP BY w ORDER BY w")
    assert found == "\n".join(f"{w}\t{total}\t{total * (total - 1) // 2}" for w in range(4))


def test_the_writer_sees_what_it_wrote(server, native, web, table):
    server.ask(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    for n in range(0, 15, 3):
        native.execute(f"INSERT INTO {table} VALUES", [(n,)])
        assert native.execute(f"SELECT count() FROM {table}") == [(n + 1,)]
        web.insert(table, [[n + 1]])
        assert web.query(f"SELECT count() FROM {table}").result_rows == [(n + 2,)]
        server.request(f"INSERT INTO {table} VALUES ({n + 2})")
        assert server.ask(f"SELECT count() FROM {table}") == str(n + 3)


def test_one_token_from_many_clients_at_once_lands_once(server, table):
    server.ask(
        f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    rows = "".join(f"{n}\n" for n in range(SIZE)).encode()
    token = uuid.uuid4().hex

    def insert():
        put = server.request(
            f"INSERT INTO {table} FORMAT TSV", rows, insert_deduplication_token=token
        )
        assert put.status == 200

    crew = Crew()
    for _ in range(6):
        crew.send(insert)
    crew.join()
    assert server.ask(f"SELECT count(), uniqExact(n) FROM {table}") == f"{SIZE}\t{SIZE}"


def test_many_connections(server):
    clients = [server.client() for _ in range(60)]
    assert all(client.execute("SELECT 1") == [(1,)] for client in clients)
    crew = Crew()
    for client in clients[:20]:
        crew.send(
            lambda mine: [mine.execute("SELECT sum(number) FROM numbers(1000)") for _ in range(3)],
            client,
        )
    crew.join()
