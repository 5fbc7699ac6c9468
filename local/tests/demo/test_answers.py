from typing import Any

from ugc_local.demo.answers import AudienceHour, by_hour_of_day, figures


def test_a_figure_that_is_answered_twice_does_not_hide_the_first() -> None:
    def ask(sql: str) -> list[dict[str, Any]]:
        if "analytics.bookmarks" not in sql:
            return []
        return [{"content_id": "f", "bookmarks": 3}, {"content_id": "f", "bookmarks": 3}]

    assert figures(ask) == {("film", "f", "bookmarks"): 3, ("film", "f", "bookmarks", "again"): 3}


def test_hours_of_several_days_are_averaged_in_the_order_of_the_day() -> None:
    audience = [
        AudienceHour(20, "23:00", 8),
        AudienceHour(24 + 3, "06:00", 2),
        AudienceHour(24 + 20, "23:00", 4),
    ]
    assert by_hour_of_day(audience, 2) == [("06:00", 1.0), ("23:00", 6.0)]
