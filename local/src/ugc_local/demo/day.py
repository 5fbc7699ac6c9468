"""Days that were replayed, compared with the truth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from ugc_events import DeadLetter
from ugc_events.registry import DEAD_LETTERS_TOPIC

from ugc_local.demo import answers
from ugc_local.demo.analyst import Analyst
from ugc_local.demo.answers import Figures
from ugc_local.demo.compare import differences
from ugc_local.demo.freshness import Sightings, delays
from ugc_local.demo.raw_rows import RECEIVED_SQL, received
from ugc_local.demo.report import Report
from ugc_local.demo.truth_figures import RANKED, audience_differences, refusals, truth_figures
from ugc_local.generator import GroundTruth, Outcome
from ugc_local.kafka.client import KafkaClient
from ugc_local.memory import MemorySampler


@dataclass(frozen=True, kw_only=True)
class ReplayedDay:
    """Everything was sent, and ClickHouse holds it: what is there, and what should be.

    Attributes:
        day, time_zone: as in DemoOptions.
        started_s: of the whole run, by time.monotonic().
        replay_s: from the first request to the last row visible.
        outcome: what the API answered.
        truth: what it, the ETL and the analysts should say.
        sightings: when which rows were seen.
        kafka, admin, analyst: who is asked now.
        memory: of all processes of the run.
        peaks_mib: by process, up to the end of a stage: "200,000 events" where there were more,
            and "replayed".
    """

    day: date
    time_zone: str
    started_s: float
    replay_s: float
    outcome: Outcome
    truth: GroundTruth
    sightings: Sightings
    kafka: KafkaClient
    admin: Analyst
    analyst: Analyst
    memory: MemorySampler
    peaks_mib: Mapping[str, Mapping[str, float]]

    def compare(self) -> Report:
        """Ask for every figure, as an analyst does, and compare it with the truth."""
        outcome, truth, ask = self.outcome, self.truth, self.analyst.ask
        dead_letters = _dead_letters(self.kafka)
        answered = answers.figures(ask)
        found = (
            answered
            | answers.rankings(ask, RANKED)
            | refusals(outcome.rejected, dead_letters)
            | {("accepted",): outcome.accepted}
            | {("answers that were not due",): outcome.mismatches}
        )
        expected = truth_figures(truth)
        if outcome.unknown_outcomes:
            expected = _with_repeated_rows(expected, found)
        audience = answers.audience_by_hour(ask, self.time_zone, self.day)
        freshness = delays(received(self.admin.stream(RECEIVED_SQL)), self.sightings)
        abandoned = answers.abandoned(ask, RANKED)
        return Report(
            day=self.day.isoformat(),
            days=truth.days,
            time_zone=self.time_zone,
            events_sent=outcome.events,
            accepted=outcome.accepted,
            rejected=outcome.rejected,
            dead_letters=dead_letters,
            rows=_total(answered, "rows"),
            events_visible=_total(answered, "events"),
            replay_s=self.replay_s,
            seconds=time.monotonic() - self.started_s,
            freshness_p50_s=freshness.quantile_s(0.5),
            freshness_p99_s=freshness.quantile_s(0.99),
            answer_p50_ms=round(outcome.latency_p50_s * 1000, 1),
            answer_p99_ms=round(outcome.latency_p99_s * 1000, 1),
            repeated_requests=outcome.unknown_outcomes,
            most_watched=answers.most_watched(ask, RANKED),
            abandoned=abandoned,
            leaving=[
                (film["title"], answers.retention(ask, film["content_id"]))
                for film in abandoned[:1]
            ],
            audience=audience,
            peak_rss_mib=self.memory.peaks() | {"all together": self.memory.peak_total_mib},
            peaks_mib=self.peaks_mib,
            compared=len(expected) + len(truth.audience_by_hour),
            differences=[
                *differences(expected, found),
                *audience_differences(audience, truth),
            ],
            examples=outcome.examples,
        )


def _dead_letters(kafka: KafkaClient) -> Counter[str]:
    """Dead letters by reason; one that was written twice has one key and counts once."""
    # The reason alone: a letter holds the record that it is about.
    latest = {
        record.key: DeadLetter.from_record(record.value or b"", record.headers).reason.value
        for record in kafka.read_all(DEAD_LETTERS_TOPIC)
    }
    return Counter(latest.values())


def _with_repeated_rows(expected: Figures, found: Figures) -> Figures:
    """Allow for more rows than were due, never fewer.

    A request without an answer was repeated and may have been taken both times: how many rows
    there are is nobody's to know then. All else is exact all the same.
    """
    return {
        name: max(int(value or 0), int(found.get(name) or 0)) if name[0] == "rows" else value
        for name, value in expected.items()
    }


def _total(figures: Figures, kind: str) -> int:
    return sum(int(value or 0) for name, value in figures.items() if name[0] == kind)
