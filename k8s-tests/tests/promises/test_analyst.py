"""The analyst of the store reads the views over HTTP, changes nothing, and is held to limits.

The embedded server knows no grants: that an analyst sees views and no raw table, and comes to the
end of a quota, is proven on the engine with the rendered users (`charts/tests`).
"""

from dataclasses import replace

import pytest
from releases import Namespace
from viewers import page_views, send

WRITES = (
    "INSERT INTO ugc.films (film_id) VALUES (generateUUIDv4())",
    "ALTER TABLE ugc.films DELETE WHERE 1",
    "CREATE TABLE analytics.mine (n UInt8) ENGINE = Memory",
    "DROP VIEW analytics.events",
    "TRUNCATE TABLE ugc.views",
    "SYSTEM STOP MERGES",
)


def test_analyst(namespace: Namespace) -> None:
    namespace.start_stores()
    namespace.install_api("events", "--set", "replicas=1")
    namespace.install_etl("consumers", "--set", "replicas=1")
    with namespace.forward("events-api", 80) as api, namespace.analyst() as analyst:
        key = namespace.secret("events-api", "jwt-secret")
        assert send(api, key, page_views(7, path="/analyst")) == 202
        analyst.await_events("page_view", 7, 60)
        # One is asked with a parameter: SELECT ... FROM analytics.audience_by_hour_in(zone = ...).
        views = analyst.ask(
            "SELECT name FROM system.tables"
            " WHERE database = 'analytics' AND name != 'audience_by_hour_in'"
        ).split()
        assert {"most_watched", "abandoned", "events"} <= {*views}
        for view in views:
            analyst.ask(f"SELECT * FROM analytics.{view} LIMIT 1")
        for write in WRITES:
            with pytest.raises(AssertionError, match=r"READONLY|ACCESS_DENIED|readonly"):
                analyst.ask(write)
        with pytest.raises(AssertionError, match="TOO_MANY_ROWS"):
            analyst.ask(
                "SELECT number FROM numbers(100000000) FORMAT Null SETTINGS max_threads = 1"
            )
        stranger = replace(analyst, password="guessed-it-is-not")
        with pytest.raises(AssertionError, match="AUTHENTICATION_FAILED"):
            stranger.ask("SELECT 1")
        analyst.await_events("page_view", 7, 5)
