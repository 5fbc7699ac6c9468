"""What the protocol asks of ClickHouse: one suite for the engine and for the memory."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from samples import partition, records, views
from stores import PATIENCE_S, connect, eventually, new_deployment
from ugc_etl.adapters import clickhouse as adapter
from ugc_etl.adapters.clickhouse import ClickHouse
from ugc_etl.adapters.clickhouse_shards import ClickHouseShards
from ugc_etl.adapters.clickhouse_tables import ClickHouseTables
from ugc_etl.adapters.memory import MemoryTables
from ugc_etl.decode import Decoder
from ugc_etl.erasure import ErasedViewers
from ugc_etl.native_block import constant_column
from ugc_etl.ports import DataRefusedError, RefusedError, Tables, TableWriter, TooLateError
from ugc_etl.protocol import Intent, Ranges, insert_token
from ugc_etl.protocol.actions import ReadBack, Survey
from ugc_etl.records import Partition
from ugc_etl.rows import INSERT_BY, block_of
from ugc_etl.schema import Deployment, migrate
from ugc_events.registry import VIEWS

WHERE = partition(0)
KEY = b"k" * 16
NOTHING: Callable[[], Ranges] = Ranges


@dataclass
class Place:
    tables: Tables
    writer: TableWriter
    table: str

    def intent(self, start: int, end: int, **more) -> Intent:
        made = Intent(
            start=start, end=end, attempt=0, shard=0, table=self.table, decoder="d",
            insert_by_s=int(self.writer.now_s()) + 60,
        )  # fmt: skip
        return replace(made, **more)

    def insert(self, intent: Intent, where: Partition = WHERE) -> None:
        insert(self.writer, intent, where)

    def read_back(self, intent: Intent | None, offset: int, where: Partition = WHERE):
        return self.tables.read_back(VIEWS, where, ReadBack(intent, offset, 0, ""))

    def survey(self, start: int, letters=NOTHING, where: Partition = WHERE):
        return self.tables.survey(VIEWS, where, Survey(start, 0, ""), letters)


def block(intent: Intent, where: Partition = WHERE):
    read = records(views(intent.end - intent.start), first_offset=intent.start, where=where)
    rows = Decoder(VIEWS).decode(read, 0)[where].rows
    made = block_of(VIEWS, where, rows, KEY, generation=intent.generation, attempt=intent.attempt)
    deadline = constant_column(INSERT_BY.name, INSERT_BY.type, intent.insert_by_s, made.rows)
    return made.replacing(deadline)


def insert(writer: TableWriter, intent: Intent, where: Partition = WHERE) -> None:
    writer.insert(intent.table, block(intent, where), insert_token(where, intent))


@dataclass
class Server:
    client: ClickHouse
    deployment: Deployment

    @property
    def table(self) -> str:
        return self.deployment.local("views")

    @property
    def tables(self) -> ClickHouseTables:
        return ClickHouseTables(ClickHouseShards([self.client]), self.deployment)

    def count(self, table: str) -> int:
        return self.client.execute(f"SELECT count() FROM {self.deployment.table(table)}")[0][0]


@pytest.fixture
def server(clickhouse) -> Iterator[Server]:
    client, deployment = connect(clickhouse), new_deployment()
    client.read_clock()
    migrate(client, deployment)
    yield Server(client, deployment)
    client.close()


@pytest.fixture(params=["memory", pytest.param("clickhouse", marks=pytest.mark.integration)])
def place(request) -> Place:
    if request.param == "memory":
        memory = MemoryTables(clock_s=time.time())
        return Place(memory, memory, "ugc.views")
    server = request.getfixturevalue("server")
    return Place(server.tables, server.client, server.table)


def test_an_empty_table_has_landed_nothing_and_covers_nothing(place):
    before_s = time.time()
    evidence = place.read_back(place.intent(0, 5), 0)
    assert (evidence.running, evidence.rows, evidence.others) == (False, 0, False)
    assert before_s - 1 <= evidence.server_now_s <= time.time() + 1
    surveyed = place.survey(0)
    assert (surveyed.covered, surveyed.attempt, surveyed.running) == (Ranges(), -1, False)


def test_an_intent_s_rows_are_known_by_attempt_and_deadline(place):
    intent = place.intent(10, 15)
    place.insert(intent)
    found = place.read_back(intent, 10)
    assert (found.rows, found.others) == (5, False)
    for other in (replace(intent, attempt=1), replace(intent, end=16, attempt=1)):
        found = place.read_back(other, 10)
        assert (found.rows, found.others) == (0, True)


def test_rows_behind_an_intent_are_others_and_those_before_it_are_none(place):
    first, second = place.intent(0, 5), place.intent(5, 8)
    place.insert(first)
    assert not place.read_back(second, 5).others
    place.insert(second)
    found = place.read_back(first, 0)
    assert (found.rows, found.others) == (5, True)
    assert place.read_back(None, 5).others
    assert not place.read_back(None, 8).others


def test_other_partitions_and_lives_and_generations_do_not_count(place):
    intent = place.intent(0, 5)
    for where in (partition(1), WHERE._replace(topic_id="00000000-0000-4000-8000-000000000001")):
        place.insert(intent, where)
    found = place.read_back(intent, 0)
    assert (found.rows, found.others) == (0, False)
    assert place.survey(0).covered == Ranges()


def test_a_survey_joins_rows_letters_and_the_ledger(place):
    place.insert(place.intent(0, 3))
    place.insert(place.intent(6, 8, attempt=4))
    place.tables.enter_ledger(0, WHERE, [5, 9])
    place.tables.enter_ledger(0, WHERE, [9])
    place.tables.enter_ledger(0, partition(1), [3])
    surveyed = place.survey(1, lambda: Ranges.of([(3, 4)]))
    assert surveyed.covered == Ranges.of([(1, 4), (5, 8), (9, 10)])
    assert surveyed.attempt == 4


def test_nobody_is_erased_at_first_and_cancelling_nothing_is_harmless(place):
    assert len(place.tables.erased_viewers(0).viewers) == len(ErasedViewers.NONE.viewers) == 0
    place.tables.cancel(WHERE, 0)


def test_rows_after_their_deadline_are_refused_as_late(place):
    late = place.intent(0, 3, insert_by_s=int(place.writer.now_s()) - 5)
    with pytest.raises(TooLateError, match="in_time"):
        place.insert(late)
    assert place.read_back(late, 0).rows == 0


@pytest.mark.integration
def test_marts_are_rebuilt_from_the_rows_of_a_range(server):
    tables = server.tables
    place = Place(tables, server.client, server.table)
    place.insert(place.intent(0, 50))
    whole = f"SELECT * FROM {server.deployment.analytics_database}.viewings ORDER BY ALL"
    before = server.client.execute(whole)
    assert before
    for table in ("viewings", "audience"):
        server.client.execute(f"TRUNCATE TABLE {server.deployment.local(table)}")
    assert server.client.execute(whole) == []
    for _ in range(2):
        tables.rebuild_marts(VIEWS, WHERE, 0, 50)
    assert server.client.execute(whole) == before
    tables.rebuild_marts(VIEWS, WHERE, 50, 2_500_000)
    assert server.client.execute(whole) == before


@pytest.mark.integration
def test_a_repetition_heals_a_view_that_failed(server):
    """The rows are in, the mart is not: the same token gives the mart what it missed."""
    place = Place(server.tables, server.client, server.table)
    database = server.deployment.database
    server.client.execute(f"CREATE TABLE {database}.fuse (on UInt8) ENGINE = MergeTree ORDER BY on")
    server.client.execute(f"INSERT INTO {database}.fuse VALUES (1)")
    server.client.execute(
        f"CREATE MATERIALIZED VIEW {database}.bad_mv TO {server.deployment.local('audience')} AS "
        "SELECT toDateTime(0, 'UTC') AS slot, uniqState(viewer + throwIf(assumeNotNull("
        f"(SELECT count() FROM {database}.fuse)) = 1)) AS viewers FROM {server.table} GROUP BY slot"
    )
    intent = place.intent(0, 5)
    with pytest.raises(DataRefusedError):
        place.insert(intent)
    landed = place.read_back(intent, 0)
    server.client.execute(f"TRUNCATE TABLE {database}.fuse")
    place.insert(intent)
    assert place.read_back(intent, 0).rows == 5
    assert landed.rows in (0, 5)
    assert server.count("views") == 5
    slot = f"SELECT uniqMerge(viewers) FROM {server.deployment.table('audience')} WHERE slot = 0"
    assert server.client.execute(slot)[0][0] > 0


@pytest.mark.integration
def test_a_running_insert_is_seen_by_its_token_and_killed(server):
    place = Place(server.tables, server.client, server.table)
    database = server.deployment.database
    # One after the other: long enough to be looked at also where everything takes its time.
    for number in range(10):
        server.client.execute(
            f"CREATE MATERIALIZED VIEW {database}.slow_{number}_mv"
            f" TO {server.deployment.local('audience')} AS"
            " SELECT toDateTime(0, 'UTC') AS slot, uniqState(viewer + sleep(2.9)) AS viewers"
            f" FROM {server.table} GROUP BY slot"
        )
    intent = place.intent(0, 200)
    outcome: list[BaseException] = []

    def send():
        try:
            place.insert(intent)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: place.read_back(intent, 0).running)
    assert not place.read_back(intent, 0, partition(1)).running
    place.tables.cancel(WHERE, 1)
    assert place.read_back(intent, 0).running
    place.tables.cancel(WHERE, 0)
    assert not place.read_back(intent, 0).running
    sender.join(PATIENCE_S)
    assert not sender.is_alive()
    assert len(outcome) == 1
    assert not isinstance(outcome[0], RefusedError)


@pytest.mark.integration
def test_a_client_that_stops_in_mid_insert_cannot_land_after_its_deadline(clickhouse, server):
    """The server has the query, not the rows; the client goes on when the deadline is over."""
    stopped = connect(clickhouse)
    stopped.read_clock()
    place = Place(server.tables, stopped, server.table)
    intent = place.intent(0, 3, insert_by_s=int(stopped.now_s()) + 2)
    waiting = threading.Event()
    go_on = threading.Event()

    send_block = adapter._send_block

    def stops(connection, rows):
        connection.fout.flush()
        waiting.set()
        go_on.wait(PATIENCE_S)
        send_block(connection, rows)

    outcome: list[BaseException] = []

    def send():
        try:
            place.insert(intent)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.append(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "_send_block", stops)
        sender = threading.Thread(target=send)
        sender.start()
        assert waiting.wait(PATIENCE_S)
        eventually(lambda: server.client.now_s() > intent.insert_by_s + 1.5)
        # As settling does: what runs is killed, then rows are looked for.
        place.tables.cancel(WHERE, 0)
        assert place.read_back(intent, 0).rows == 0
        go_on.set()
        sender.join(PATIENCE_S)
    assert not sender.is_alive()
    assert len(outcome) == 1
    assert server.count("views") == 0
    stopped.close()
