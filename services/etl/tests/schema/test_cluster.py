"""The cluster form run on the engine, as far as one node without Keeper can.

Its own node is the cluster `main` of one shard, so the Distributed tables and the views over them
are real. Only replication is taken out: the engine has no Keeper.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ugc_etl.operations.coverage import Book, covered
from ugc_etl.operations.marts import VIEWINGS, delete, rebuild
from ugc_etl.protocol import Ranges
from ugc_etl.schema import Deployment, SchemaClient, current_version, migrate, required_version

# The port is only how the engine knows itself in its own cluster: it listens nowhere.
CONFIGURATION = """<clickhouse>
    <tcp_port>1</tcp_port>
    <remote_servers><main><shard><internal_replication>true</internal_replication>
        <replica><host>localhost</host><port>1</port></replica>
    </shard></main></remote_servers>
</clickhouse>"""
DEPLOYMENT = Deployment(cluster="main")
FILM = "00000000-0000-4000-8000-000000000001"
NEVER = "1970-01-01 00:00:00.000"


class Unreplicated:
    """A `SchemaClient` that runs a cluster's statements on one node without Keeper."""

    def __init__(self, engine: SchemaClient) -> None:
        self._engine = engine

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        sql = sql.replace("ON CLUSTER 'main'", "")
        sql = re.sub(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(, )?", r"\1(", sql)
        sql = re.sub(r", replicated_deduplication_window_seconds = \d+", "", sql)
        sql = sql.replace(" replicated_dedup", " non_replicated_dedup")
        return self._engine.execute(sql)


@pytest.fixture(scope="module")
def client(
    engine_with: Callable[[str], SchemaClient], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Unreplicated]:
    path = tmp_path_factory.mktemp("configuration") / "config.xml"
    path.write_text(CONFIGURATION)
    engine: Any = engine_with(f"config-file={path}")
    yield Unreplicated(engine)
    engine.close()


def test_it_is_migrated_filled_and_asked(client: SchemaClient, insert: Callable[..., None]) -> None:
    migrate(client, DEPLOYMENT)
    assert migrate(client, DEPLOYMENT) == []
    assert current_version(client, DEPLOYMENT) == required_version

    client.execute(
        f"INSERT INTO ugc.films (content_id, title, duration_ms) SELECT '{FILM}', 'Solaris', 600000"
    )
    ticks = [
        {"type": "view_progress", "content_id": FILM, "viewer": minute % 2, "_offset": minute}
        | {"occurred_at": f"2026-01-01 20:{minute:02}:00.000", "duration_ms": 600_000}
        | {"position_ms": minute * 60_000}
        for minute in range(10)
    ]
    rating = {"type": "rating", "content_id": FILM, "viewer": 1, "score": 8}
    for _ in range(2):
        insert(client, DEPLOYMENT.local("views"), ticks, token="t:0:0-10")
        insert(client, DEPLOYMENT.local("reactions"), [rating], token="t:0:0-1")

    asked: dict[str, list[tuple[Any, ...]]] = {
        "events": [
            ("views", "view_progress", 10, 2, NEVER),
            ("reactions", "rating", 1, 1, NEVER),
        ],
        "ratings": [(FILM, "Solaris", 1, 8)],
        "audience_by_hour": [("2026-01-01 20:00:00", 2)],
        "audience_by_hour_in(time_zone = 'UTC')": [("2026-01-01 20:00:00", "2026-01-01 20:00", 2)],
        "most_watched": [
            (1, FILM, "Solaris", "", 10, 2, 10, 0, 0, 1, 0.5, 0.5, 0.5, 8),
        ],
        "abandoned": [],
        "bookmarks": [],
    }
    for view, rows in asked.items():
        assert sorted(client.execute(f"SELECT * FROM analytics.{view}")) == sorted(rows), view
    retention = client.execute("SELECT minute, viewers FROM analytics.retention ORDER BY minute")
    assert retention == [(minute, 1) for minute in range(10)]
    assert len(client.execute("SELECT * FROM analytics.viewings")) == 2
    assert client.execute("SELECT count() FROM ugc.views") == [(10,)]


def test_marts_are_made_anew_and_places_counted_over_the_shards(client: SchemaClient) -> None:
    """What the operators' commands do: on every shard's local tables, asked as a whole."""
    migrate(client, DEPLOYMENT)
    client.execute(
        f"INSERT INTO {DEPLOYMENT.local('views')}"
        " (content_id, viewer, occurred_at, duration_ms, position_ms, _topic_id, _partition,"
        f" _offset, _insert_by) SELECT toUUID('{FILM}'), 77, '2026-02-02 10:00:00', 600000, 60000,"
        f" toUUID('{FILM}'), 5, number, now() + 60 FROM numbers(4)"
    )
    of_viewer = f"SELECT * FROM {DEPLOYMENT.table('viewings')} WHERE viewer = 77"
    before = client.execute(of_viewer)
    delete(client, DEPLOYMENT, "viewings", "viewer = 77")
    assert client.execute(of_viewer) == []
    rebuild(client, DEPLOYMENT, VIEWINGS, "viewer = 77")
    assert client.execute(of_viewer) == before != []

    book = Book(DEPLOYMENT, "views", FILM, {5: (0, 6)})
    client.execute(
        f"INSERT INTO {DEPLOYMENT.table('erased_places')} (topic_id, partition, offset)"
        f" SELECT toUUID('{FILM}'), 5, 3"
    )
    delete(
        client,
        DEPLOYMENT,
        "views",
        "viewer = 77 AND (_topic_id, _partition, _offset) IN (SELECT topic_id, partition, offset"
        f" FROM {DEPLOYMENT.table('erased_places')})",
    )
    found = covered(client, book)[5]
    assert (found.places, found.erased) == (3, 1)
    assert found.gaps == Ranges.of([(4, 6)])
