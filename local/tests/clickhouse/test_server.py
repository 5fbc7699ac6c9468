"""The server as a process: how it starts, ends, and what survives its death."""

import sys
import threading

import pytest
from clickhouse_driver.errors import NetworkError, ServerException
from ugc_local.clickhouse.configuration import User

pytestmark = pytest.mark.integration

TABLE = (
    "CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n"
    " SETTINGS non_replicated_deduplication_window = 1000"
)
ROWS = 20_000


def insert(client, batch):
    rows = list(range(batch * ROWS, (batch + 1) * ROWS))
    client.execute(
        "INSERT INTO kept VALUES",
        [rows],
        columnar=True,
        settings={"insert_deduplication_token": f"batch:{batch}"},
    )


def test_acknowledged_rows_survive_kill_9_and_the_retry_is_exact(own_server):
    own_server.ask(TABLE)
    acknowledged = []
    three = threading.Event()

    def write():
        with own_server.client() as client:
            for batch in range(1000):
                try:
                    insert(client, batch)
                except (EOFError, ConnectionError, NetworkError):
                    return
                acknowledged.append(batch)
                if len(acknowledged) == 3:
                    three.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert three.wait(60)
    assert own_server.kill() == -9
    writer.join(60)
    own_server.start()
    done = len(acknowledged)
    count = int(own_server.ask("SELECT count() FROM kept"))
    assert count in (done * ROWS, (done + 1) * ROWS)
    assert own_server.ask(f"SELECT uniqExact(n) FROM kept WHERE n < {done * ROWS}") == str(
        done * ROWS
    )
    with own_server.client() as client:
        for batch in (done - 1, done):  # again what was acknowledged, and what was not
            insert(client, batch)
    expected = (done + 1) * ROWS
    assert own_server.ask("SELECT count(), uniqExact(n) FROM kept") == f"{expected}\t{expected}"
    assert own_server.stop() == 0


def test_data_and_default_database_survive_a_restart(own_server):
    own_server.ask(TABLE)
    own_server.ask("CREATE DATABASE other")
    own_server.ask("CREATE TABLE other.t ENGINE = MergeTree ORDER BY n AS SELECT 1 AS n")
    for _ in range(2):
        own_server.http("INSERT INTO kept VALUES", b"(5)")
        assert own_server.stop() == 0
        own_server.start()
    assert own_server.ask("SELECT count() FROM kept") == "1"  # the same content, so once
    assert own_server.ask("SELECT * FROM other.t") == "1"
    assert own_server.ask("SELECT engine FROM system.databases WHERE name = 'default'") == "Atomic"


def test_a_default_database_without_tables_survives_a_restart(own_server):
    assert own_server.stop() == 0  # it never had one
    own_server.start()
    own_server.ask(TABLE)
    own_server.ask("DROP TABLE kept SYNC")
    assert own_server.kill() == -9
    own_server.start()
    own_server.ask(TABLE)
    own_server.http("INSERT INTO kept VALUES", b"(5)")
    assert own_server.kill() == -9
    own_server.start()
    assert own_server.ask("SELECT n FROM kept") == "5"


def test_the_configuration_may_lie_in_the_working_directory(server, tmp_path):
    """The engine alone would take it for its own, and fail for the password of `default`."""
    users = (User("default", "secret"),)
    other = type(server)(tmp_path, users)
    try:
        assert other.http("SELECT 1", password="secret").body == b"1\n"
        assert other.http("SELECT 1").code == 516
    finally:
        assert other.stop() == 0


def test_a_second_server_on_the_same_data_says_so(server):
    second = server.launch()
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out) == (1, "")
    pid = server.process.pid
    data = server.directory.resolve() / "data"
    assert err == f"Another ClickHouse server (process {pid}) already uses the data in {data}.\n"


def test_a_port_that_is_taken(server, tmp_path):
    config = tmp_path / "config.xml"
    text = server.config.read_text()
    config.write_text(text.replace(str(server.directory / "data"), str(tmp_path / "data")))
    (tmp_path / "users.xml").write_text((server.directory / "users.xml").read_text())
    second = server.launch(config)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 1
    assert err.startswith("Cannot start: ")


def test_a_broken_configuration(server, tmp_path):
    config = tmp_path / "nosuch.xml"
    second = server.launch(config)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 1
    assert err == f"{config}: No such file or directory\n"


def test_the_end_stops_what_runs(own_server, eventually):
    ended = []

    def ask():
        with own_server.client() as client:
            try:
                client.execute("SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size=1")
            except (ServerException, EOFError, ConnectionError) as error:
                ended.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    count = "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'"
    eventually(lambda: own_server.ask(count) == "2")
    with own_server.client() as idle:
        assert idle.execute("SELECT 1") == [(1,)]
        assert own_server.stop() == 0
    asking.join(60)
    assert len(ended) == 1


def test_an_insert_that_the_disk_has_no_room_for_is_refused_whole(server):
    setting = "min_free_disk_bytes_to_perform_insert"
    by_default = f"SELECT toUInt64(value) FROM system.merge_tree_settings WHERE name = '{setting}'"
    with server.client() as client:
        assert client.execute(by_default) == [(256 * 2**20,)]
        client.execute(
            "CREATE TABLE roomy (n UInt8) ENGINE = MergeTree ORDER BY n"
            f" SETTINGS {setting} = 1000000000000000"
        )
        with pytest.raises(ServerException) as refused:
            client.execute("INSERT INTO roomy VALUES", [(1,)])
        assert refused.value.code == 243
        assert client.execute("SELECT count() FROM roomy") == [(0,)]
        client.execute("DROP TABLE roomy")


if sys.platform == "linux":  # the only one where the engine's allocator is known to be jemalloc

    def test_freed_memory_is_given_back_soon(own_server):
        stats = own_server.ask("SELECT * FROM system.jemalloc_stats FORMAT TSVRaw")
        assert "opt.dirty_decay_ms: 100 " in stats
