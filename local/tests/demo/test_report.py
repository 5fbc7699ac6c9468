import io
from collections.abc import Sequence

from rich.console import Console
from ugc_local.demo.answers import AudienceHour
from ugc_local.demo.compare import Difference
from ugc_local.demo.report import Report

FILM = {
    "content_id": "f",
    "title": "The Long Night Tram",
    "genre": "drama",
    "film_minutes": 97,
    "viewers": 1_234,
    "watched_minutes": 60_000,
    "finish_rate": 0.5,
    "abandonment_rate": 0.5,
    "completion_q25": 0.1,
    "completion_q50": 0.42,
    "completion_q75": 1.0,
    "drop_off_minute": 31,
}


def report(differences: Sequence[Difference] = ()) -> Report:
    return Report(
        day="2026-11-01",
        days=1,
        time_zone="UTC",
        events_sent=1_000,
        accepted=990,
        rejected={("device", "missing"): 7, ("", "not_json"): 3},
        dead_letters={"unknown_type": 2},
        rows=988,
        events_visible=980,
        replay_s=10.0,
        seconds=20.0,
        freshness_p50_s=0.5,
        freshness_p99_s=None,
        answer_p50_ms=4.0,
        answer_p99_ms=20.0,
        repeated_requests=0,
        most_watched=[FILM],
        abandoned=[FILM],
        leaving=[("The Long Night Tram", [1.0, 0.5, 0.0])],
        audience=[
            AudienceHour(hour, f"{hour}:00", viewers)
            for hour, viewers in [(20, 80), (21, 40), (22, 0)]
        ],
        peak_rss_mib={"kafka": 400.0, "all together": 900.0},
        peaks_mib={"replayed": {"kafka": 300.0}},
        compared=55,
        differences=differences,
    )


def shown(of: Report) -> str:
    out = io.StringIO()
    of.show(Console(file=out, width=110, color_system=None))
    return out.getvalue()


def test_a_match_is_one_line_that_scripts_can_find() -> None:
    text = shown(report())
    assert "ground truth: match" in text
    assert text.rstrip().splitlines()[-1].startswith("ground truth: match")


def test_the_report_tells_films_hours_and_refusals() -> None:
    text = shown(report())
    for part in ("The Long Night Tram", "1,000", "31 of 97", "42%", "█▄ ", "20:00"):
        assert part in text
    for part in ("device: missing", "(event): not_json", "unknown_type", "not measured"):
        assert part in text


def test_each_difference_is_told_up_to_a_limit() -> None:
    found = [Difference(("film", str(n), "viewers"), n, n + 1) for n in range(25)]
    text = shown(report(found))
    assert "ground truth: match" not in text
    assert "25 of 55 figures differ" in text
    assert "film / 3 / viewers: expected 3, found 4" in text
    assert "and 5 more" in text


def test_json_has_the_promised_keys() -> None:
    figures = report([Difference(("q",), 1, 2)]).as_json()
    promised = {
        "match",
        "events_sent",
        "events_visible",
        "rejected",
        "dead_letters",
        "seconds",
        "freshness_p50_s",
        "freshness_p99_s",
        "peak_rss_mib",
    }
    assert promised <= figures.keys()
    assert figures["match"] is False
    assert figures["rejected"] == 10
    assert figures["differences"] == ["q: expected 1, found 2"]
