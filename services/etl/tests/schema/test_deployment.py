from __future__ import annotations

import pytest
from ugc_etl.schema import Deployment


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"database": "a b"}, "name of a database"),
        ({"analytics_database": "x; DROP"}, "name of a database"),
        ({"analytics_database": "ugc"}, "must not be the platform's own"),
        ({"cluster": "c'"}, "name of a cluster"),
        ({"definer": "x`"}, "name of a user"),
        ({"deduplication_blocks": 0}, "doubles its rows"),
        ({"deduplication_s": 0}, "doubles its rows"),
        ({"raw_retention_days": 0}, "at least a day"),
    ],
)
def test_what_is_no_name_or_number_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Deployment(**settings)  # type: ignore[arg-type]


def test_writers_use_the_local_table_and_readers_the_whole() -> None:
    assert Deployment().local("views") == Deployment().table("views") == "ugc.views"
    cluster = Deployment(cluster="main")
    assert cluster.local("views") == "ugc.views_local"
    assert cluster.table("views") == "ugc.views"


def test_an_empty_cluster_is_a_single_node() -> None:
    assert Deployment(cluster="").placeholders() == Deployment().placeholders()


def test_a_definer_is_quoted() -> None:
    assert Deployment(definer="ugc-etl").placeholders()["definer"] == "`ugc-etl`"
    assert Deployment().placeholders()["definer"] == "CURRENT_USER"
