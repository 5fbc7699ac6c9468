"""What was acknowledged survives the server's death, and a retry by token is exact."""

import threading

import pytest
from clickhouse_driver.errors import NetworkError

pytestmark = [pytest.mark.integration, pytest.mark.own_process]

ROWS = 20_000
KILLS = 5


def test_killed_five_times_in_mid_insert(own_server, guard, measured):
    """Two writers, one a protocol; at each death an insert of each is under way."""
    own_server.ask(
        "CREATE TABLE kept (w UInt8, n UInt64, s String) ENGINE = MergeTree ORDER BY n"
        " SETTINGS non_replicated_deduplication_window = 10000"
    )
    acknowledged = {"native": 0, "http": 0}  # batches of each writer, in order
    unacknowledged = 0

    def put_native(client, batch):
        rows = list(range(batch * ROWS, (batch + 1) * ROWS))
        client.execute(
            "INSERT INTO kept VALUES",
            [[1] * ROWS, rows, ["x" * 20] * ROWS],
            columnar=True,
            settings={"insert_deduplication_token": f"native:{batch}"},
        )

    def put_http(batch):
        body = "".join(
            f"2\t{n}\txxxxxxxxxxxxxxxxxxxx\n" for n in range(batch * ROWS, (batch + 1) * ROWS)
        ).encode()
        token = f"http:{batch}"
        put = own_server.request(
            "INSERT INTO kept FORMAT TSV", body, insert_deduplication_token=token
        )
        assert put.status == 200

    for kill in range(KILLS):
        goal, enough = (
            {name: count + 3 + kill for name, count in acknowledged.items()},
            threading.Barrier(3),
        )

        def write(name, goal=goal, enough=enough):
            client = own_server.client() if name == "native" else None
            told = False
            while True:
                batch = acknowledged[name]
                try:
                    put_native(client, batch) if client else put_http(batch)
                except (EOFError, ConnectionError, NetworkError):
                    return
                acknowledged[name] = batch + 1
                if not told and acknowledged[name] >= goal[name]:
                    told = True
                    enough.wait(60)

        writers = [threading.Thread(target=write, args=(name,)) for name in acknowledged]
        for writer in writers:
            writer.start()
        enough.wait(60)
        own_server.process.kill()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
        own_server.start(guard)
        for w, name in ((1, "native"), (2, "http")):
            done = acknowledged[name]
            count, distinct = map(
                int,
                own_server.ask(f"SELECT count(), uniqExact(n) FROM kept WHERE w = {w}").split("\t"),
            )
            assert count == distinct
            assert count in (done * ROWS, (done + 1) * ROWS)
            kept = f"SELECT uniqExact(n) FROM kept WHERE w = {w} AND n < {done * ROWS}"
            assert int(own_server.ask(kept)) == done * ROWS
            unacknowledged += count > done * ROWS
        # Again by the same tokens: what is there stays single, what is not comes.
        client = own_server.client()
        for batch in (acknowledged["native"] - 1, acknowledged["native"]):
            put_native(client, batch)
        for batch in (acknowledged["http"] - 1, acknowledged["http"]):
            put_http(batch)
        for w, name in ((1, "native"), (2, "http")):
            acknowledged[name] += 1
            expected = acknowledged[name] * ROWS
            found = own_server.ask(f"SELECT count(), uniqExact(n) FROM kept WHERE w = {w}")
            assert found == f"{expected}\t{expected}"
    measured["killed_in_mid_insert"] = {
        "kills": KILLS,
        "acknowledged_inserts": sum(acknowledged.values()),
        "unacknowledged_inserts_found": unacknowledged,
    }
    assert own_server.ask("CHECK TABLE kept SETTINGS check_query_single_value_result = 1") == "1"


def test_a_clean_stop_keeps_everything(own_server, guard):
    own_server.ask("CREATE DATABASE other")
    own_server.ask(
        "CREATE TABLE other.t ENGINE = MergeTree ORDER BY n AS SELECT number AS n FROM numbers(10)"
    )
    own_server.ask("CREATE VIEW other.v AS SELECT sum(n) AS s FROM other.t")
    own_server.process.stop(grace_s=20)
    own_server.start(guard)
    assert own_server.ask("SELECT s FROM other.v") == "45"
