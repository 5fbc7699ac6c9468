"""The schema through a server's native protocol, and asked over HTTP as an analyst does."""

from __future__ import annotations

import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import clickhouse_driver
import clickhouse_driver.errors
import pytest
from ugc_etl.schema import (
    Deployment,
    SchemaClient,
    ServerRefused,
    Step,
    current_version,
    migrate,
    required_version,
)

pytestmark = pytest.mark.integration

FILM = "00000000-0000-4000-8000-000000000001"


class Driver:
    """A `SchemaClient` on clickhouse-driver."""

    def __init__(self, service: Any) -> None:
        user, password = service.admin
        self._client = clickhouse_driver.Client(
            service.host, port=service.native_port, user=user, password=password
        )

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return list(self._client.execute(sql))
        except clickhouse_driver.errors.ServerException as error:
            raise ServerRefused(error.code, error.message) from error

    def close(self) -> None:
        self._client.disconnect()


@pytest.fixture
def client(clickhouse: Any) -> Iterator[Driver]:
    client = Driver(clickhouse)
    yield client
    client.close()


@pytest.fixture
def deployment(client: SchemaClient) -> Iterator[Deployment]:
    name = uuid4().hex[:10]
    deployment = Deployment(f"raw_{name}", f"asked_{name}")
    yield deployment
    for database in (deployment.analytics_database, deployment.database):
        client.execute(f"DROP DATABASE IF EXISTS {database}")


def ask(clickhouse: Any, sql: str) -> str:
    """The answer over HTTP, as the analyst."""
    user, password = clickhouse.analyst
    request = urllib.request.Request(  # noqa: S310 - the fixture's own address
        f"{clickhouse.http_url}/?{urllib.parse.urlencode({'query': sql})}",
        headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": password},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return str(answer.read().decode())


def test_two_at_once(clickhouse: Any, client: SchemaClient, deployment: Deployment) -> None:
    outcomes: list[list[Step] | Exception] = []
    barrier = threading.Barrier(2)

    def run() -> None:
        mine = Driver(clickhouse)
        barrier.wait()
        try:
            outcomes.append(migrate(mine, deployment))
        except ServerRefused as refusal:
            outcomes.append(refusal)
        finally:
            mine.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert len(outcomes) == 2
    assert current_version(client, deployment) == required_version
    assert migrate(client, deployment) == []


def test_an_analyst_asks_the_views(
    clickhouse: Any, client: SchemaClient, deployment: Deployment
) -> None:
    assert current_version(client, deployment) == 0
    migrate(client, deployment)
    client.execute(
        f"INSERT INTO {deployment.table('films')} (content_id, title, genre, year, duration_ms)"
        f" SELECT '{FILM}', 'Solaris', 'drama', 1972, 600000"
    )
    client.execute(
        f"INSERT INTO {deployment.local('views')} (type, content_id, viewer, occurred_at,"
        " position_ms, duration_ms, _timestamp, _offset, _insert_by)"
        f" SELECT 'view_progress', '{FILM}', number % 2, toDateTime64('2026-01-01 20:00:00', 3),"
        " number * 60000, 600000, toDateTime64('2026-01-01 20:00:00', 3), number, now() + 60"
        " FROM numbers(10)"
    )
    stats = f"SELECT title, viewers, watched_minutes FROM {deployment.analytics_database}"
    assert ask(clickhouse, f"{stats}.film_stats") == "Solaris\t2\t10\n"
    assert ask(clickhouse, f"{stats}.most_watched LIMIT 1") == "Solaris\t2\t10\n"
    audience = f"{deployment.analytics_database}.audience_by_hour_in(time_zone = 'Asia/Kolkata')"
    assert ask(clickhouse, f"SELECT * FROM {audience}") == (
        "2026-01-01 19:30:00\t2026-01-02 01:00\t2\n"
    )
