from typing import Any

from ugc_local.demo.answers import figures


def test_a_figure_that_is_answered_twice_does_not_hide_the_first() -> None:
    def ask(sql: str) -> list[dict[str, Any]]:
        if "analytics.bookmarks" not in sql:
            return []
        return [{"content_id": "f", "bookmarks": 3}, {"content_id": "f", "bookmarks": 3}]

    assert figures(ask) == {("film", "f", "bookmarks"): 3, ("film", "f", "bookmarks", "again"): 3}
