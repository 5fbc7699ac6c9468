"""The questions to ClickHouse against a computation in Python, on small random books."""

from collections import Counter
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from stores import connect, new_deployment
from ugc_etl.operations.coverage import Book, Replay, covered, former_topic_ids, open_replays
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.schema import migrate

pytestmark = pytest.mark.integration
CHUNK = 8


@pytest.fixture(scope="module")
def deployment(client):
    deployment = new_deployment()
    migrate(client, deployment)
    return deployment


@pytest.fixture(scope="module")
def client(clickhouse):
    client = connect(clickhouse)
    yield client
    client.close()


def insert_rows(client, deployment, topic_id, rows, *, attempt=0):
    """`rows`: (partition, offset, generation)."""
    values = ", ".join(
        f"('{topic_id}', {partition}, {offset}, {generation}, {attempt}, now() + 600)"
        for partition, offset, generation in rows
    )
    client.execute(
        f"INSERT INTO {deployment.local('views')} (_topic_id, _partition, _offset, _generation,"
        f" _attempt, _insert_by) SETTINGS insert_deduplicate = 0 VALUES {values}"
    )


def insert_erased(client, deployment, topic_id, places):
    values = ", ".join(f"('{topic_id}', {partition}, {offset})" for partition, offset in places)
    client.execute(
        f"INSERT INTO {deployment.table('erased_places')} (topic_id, partition, offset)"
        f" VALUES {values}"
    )


offsets = st.integers(0, 40)
places = st.lists(st.tuples(st.integers(0, 2), offsets), max_size=60)


@given(
    rows=places,
    erased=places,
    bounds=st.dictionaries(st.integers(0, 2), st.tuples(offsets, offsets), min_size=1),
)
@example(rows=[(0, n) for n in range(24)], erased=[(0, 30)], bounds={0: (0, 40)})
@example(rows=[(0, 3)] * 3, erased=[(0, 3)], bounds={0: (3, 4), 2: (0, 40)})
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_it_says_what_a_computation_says(client, deployment, rows, erased, bounds):
    topic_id = str(uuid4())
    if rows:
        insert_rows(client, deployment, topic_id, [(p, o, 0) for p, o in rows])
    if erased:
        insert_erased(client, deployment, topic_id, erased)

    found = covered(client, Book(deployment, "views", topic_id, bounds, chunk=CHUNK))

    assert found.keys() == bounds.keys()
    for partition, (start, end) in bounds.items():
        counts = Counter(o for p, o in rows if p == partition and start <= o < end)
        gone = {o for p, o in erased if p == partition and start <= o < end}
        book = found[partition]
        assert book.rows == counts.total()
        assert book.places == len(counts)
        assert book.erased == len(gone)
        assert book.first_row == min(counts, default=None)
        uncovered = set(range(start, end)) - counts.keys() - gone
        assert book.gaps == Ranges.of_offsets(uncovered)
        assert book.erased_with_row == Ranges.of_offsets(gone & counts.keys())
        doubled = {
            offset: run.rows // (run.end - run.start)
            for run in book.doubled
            for offset in range(run.start, run.end)
        }
        assert doubled == {o: count for o, count in counts.items() if count > 1}
        assert book.generations == ({0: counts.total()} if counts else {})


def test_doubled_rows_are_told_by_the_inserts_they_are_of(client, deployment):
    topic_id = str(uuid4())
    insert_rows(client, deployment, topic_id, [(1, o, 0) for o in range(20)])
    insert_rows(client, deployment, topic_id, [(1, o, 0) for o in range(4, 9)], attempt=3)

    book = covered(client, Book(deployment, "views", topic_id, {1: (0, 20)}))[1]

    [run] = book.doubled
    assert (run.start, run.end, run.rows) == (4, 9, 10)
    assert sorted(source.attempt for source in run.sources) == [0, 3]
    # Parts merge, so there may be one or two.
    assert all(source.part.startswith("1970") for source in run.sources)
    assert not book.gaps


def test_of_a_replay_under_way_one_generation_counts(client, deployment):
    topic_id = str(uuid4())
    insert_rows(client, deployment, topic_id, [(0, o, 0) for o in range(10)])
    insert_rows(client, deployment, topic_id, [(0, o, 2) for o in range(5)])

    def rows_while(state):
        replay = Replay(2, topic_id, 0, 0, 5, state)
        return covered(client, Book(deployment, "views", topic_id, {0: (0, 10)}, [replay]))[0]

    assert rows_while("building").generations == {0: 10}
    assert rows_while("replacing").generations == {0: 5, 2: 5}
    assert not rows_while("building").doubled
    assert not rows_while("replacing").doubled
    assert len(covered(client, Book(deployment, "views", topic_id, {0: (0, 10)}))[0].doubled) == 1


def test_the_newest_state_of_a_replay_counts(client, deployment):
    topic_id, other = str(uuid4()), str(uuid4())
    for generation, topic, state in [
        (1, topic_id, "building"), (1, topic_id, "done"), (2, topic_id, "building"),
        (3, other, "building"), (3, other, "replacing"),
    ]:  # fmt: skip
        client.execute(
            f"INSERT INTO {deployment.table('replays')}"
            " (generation, topic_id, partition, start, end, state)"
            f" SELECT {generation}, '{topic}', 4, 10, 20, '{state}'"
        )
    ours = [r for r in open_replays(client, deployment) if r.topic_id in (topic_id, other)]
    assert ours == [
        Replay(2, topic_id, 4, 10, 20, "building"),
        Replay(3, other, 4, 10, 20, "replacing"),
    ]


def test_topic_ids_are_those_of_the_rows(client, deployment):
    topic_id = str(uuid4())
    before = former_topic_ids(client, deployment, "views")
    insert_rows(client, deployment, topic_id, [(0, 0, 0)])
    assert former_topic_ids(client, deployment, "views") - before == {topic_id}
