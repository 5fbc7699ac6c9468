"""One demo: the stack up, a day replayed, every figure compared, everything stopped."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from ugc_events import FAMILIES, DeadLetter
from ugc_events.registry import DEAD_LETTERS_TOPIC

from ugc_local.credentials import ADMIN, ANALYST
from ugc_local.deadline import Deadline
from ugc_local.demo import answers
from ugc_local.demo.analyst import Analyst
from ugc_local.demo.answers import Figures
from ugc_local.demo.compare import differences
from ugc_local.demo.freshness import Sampler, Sightings, delays
from ugc_local.demo.raw_rows import RECEIVED_SQL, RawRows, received
from ugc_local.demo.report import Report
from ugc_local.demo.truth_figures import RANKED, audience_differences, refusals, truth_figures
from ugc_local.generator import Film, GroundTruth, Outcome, Plan, replay, token_minter
from ugc_local.kafka.client import KafkaClient
from ugc_local.memory import MemorySampler
from ugc_local.options import StackOptions
from ugc_local.process import ProcessIdentity
from ugc_local.stack import ETL_GROUP, Stack

_STALLED_S = 60.0


class DemoError(RuntimeError):
    """The demo could not come to its comparison; the message says what was missing."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What to replay, and where.

    Attributes:
        data_dir: of the stack; emptied first.
        report: file for the figures as JSON.
        events: how many events are sent over HTTP.
        seed, day: what is generated, see `Plan`.
        time_zone: IANA name, for the audience's hours.
        connections: of the replaying clients.
        before_comparison: called when ClickHouse holds everything, with an administrator's
            connection; for a person or a test that wants to see the comparison fail.
    """

    data_dir: Path
    report: Path
    events: int = 200_000
    seed: int = 1
    day: date = field(default_factory=lambda: datetime.now(UTC).date() - timedelta(days=1))
    time_zone: str = "UTC"
    connections: int = 8
    before_comparison: Callable[[Analyst], None] = lambda _analyst: None


@dataclass(frozen=True)
class _Replayed:
    """What a replay left behind: its outcome, its truth, and when its rows were seen."""

    outcome: Outcome
    truth: GroundTruth
    sightings: Sightings
    seconds: float


class Demo:
    """One run. `run()` returns the report; the caller shows it and exits by `report.match`."""

    def __init__(self, options: DemoOptions, environ: Mapping[str, str], console: Console) -> None:
        self._options = options
        self._environ = environ
        self._console = console
        self._started = time.monotonic()

    def run(self) -> Report:
        """Raises StackError, ReplayError, QueryError or DemoError where it cannot compare.

        Whatever happens, nothing is left running.
        """
        shutil.rmtree(self._options.data_dir, ignore_errors=True)
        with Stack(StackOptions(self._options.data_dir), self._environ, self._say) as stack:
            processes = stack.identities() | {"demo": ProcessIdentity.of(os.getpid())}
            with MemorySampler(processes) as memory:
                secrets, url = stack.credentials, stack.clickhouse_http_url
                admin = Analyst(url, ADMIN, secrets.admin_password)
                analyst = Analyst(url, ANALYST, secrets.analyst_password)
                kafka = KafkaClient(stack.kafka_bootstrap)
                replayed = self._replay(stack, kafka, admin)
                self._options.before_comparison(admin)
                self._say("comparing every figure with the ground truth")
                report = self._compare(replayed, kafka, admin, analyst, memory)
        self._options.report.parent.mkdir(parents=True, exist_ok=True)
        figures = json.dumps(report.as_json(), indent=2, ensure_ascii=False)
        self._options.report.write_text(figures + "\n", encoding="utf-8")
        return report

    def _replay(self, stack: Stack, kafka: KafkaClient, admin: Analyst) -> _Replayed:
        options = self._options
        plan = Plan(options.seed, options.day, options.events)
        truth = GroundTruth(options.day, plan.catalogue)
        load_catalogue(admin, plan.catalogue)
        raw_rows = RawRows(admin.ask)
        sampler = Sampler(raw_rows.look)
        self._say(f"replaying {options.day}: {options.events:,} events over HTTP")
        started = time.monotonic()
        sampler.start()
        with self._progress() as progress:
            sent = progress.add_task("sent", total=options.events)
            visible = progress.add_task("visible", total=options.events)

            def on_progress(events: int) -> None:
                stack.require_running()
                sampler.require_running()
                progress.update(sent, completed=events)
                progress.update(visible, completed=raw_rows.visible)

            outcome = replay(
                plan.stream(truth),
                stack.api_url,
                token_minter(stack.credentials.jwt_secret, issued_at_s=int(time.time())),
                send_poison=lambda topic, key, value, headers: _send(
                    kafka, topic, (key, value, headers)
                ),
                connections=options.connections,
                on_progress=on_progress,
            )
            progress.update(visible, total=truth.accepted)
            self._await_etl(kafka, lambda: on_progress(outcome.events))
            sightings = sampler.stop()
            on_progress(outcome.events)
        return _Replayed(outcome, truth, sightings, time.monotonic() - started)

    def _await_etl(self, kafka: KafkaClient, on_progress: Callable[[], None]) -> None:
        """Until the ETL has committed all that is in Kafka, or has not moved for a minute."""
        least = None
        stalled = Deadline.after(_STALLED_S)
        while lag := sum(sum(kafka.lag(ETL_GROUP, f.topic).values()) for f in FAMILIES):
            on_progress()
            if least is None or lag < least:
                least, stalled = lag, Deadline.after(_STALLED_S)
            elif not stalled.left_s():
                raise DemoError(
                    f"the ETL has not moved for {_STALLED_S:.0f} s with {lag:,} records to go; "
                    f"its logs are in {self._options.data_dir / 'logs'}"
                )

    def _compare(
        self,
        replayed: _Replayed,
        kafka: KafkaClient,
        admin: Analyst,
        analyst: Analyst,
        memory: MemorySampler,
    ) -> Report:
        outcome, truth = replayed.outcome, replayed.truth
        ask = analyst.ask
        dead_letters = _dead_letters(kafka)
        answered = answers.figures(ask)
        expected = truth_figures(truth)
        found = (
            answered
            | answers.rankings(ask, RANKED)
            | refusals(outcome.rejected, dead_letters)
            | {("accepted",): outcome.accepted}
            | {("answers that were not due",): outcome.mismatches}
        )
        if outcome.unknown_outcomes:
            # A request without an answer was repeated and may have been taken both times: how
            # many rows there are is nobody's to know then. All else is exact all the same.
            self._say(f"{outcome.unknown_outcomes} requests were repeated: rows are not compared")
            expected, found = _without_rows(expected), _without_rows(found)
        audience = answers.audience_by_hour(ask, self._options.time_zone)
        freshness = delays(received(admin.stream(RECEIVED_SQL)), replayed.sightings)
        abandoned = answers.abandoned(ask, RANKED)
        return Report(
            day=self._options.day.isoformat(),
            time_zone=self._options.time_zone,
            events_sent=outcome.events,
            accepted=outcome.accepted,
            rejected=outcome.rejected,
            dead_letters=dead_letters,
            rows=_total(answered, "rows"),
            events_visible=_total(answered, "events"),
            replay_s=replayed.seconds,
            seconds=time.monotonic() - self._started,
            freshness_p50_s=freshness.quantile_s(0.5),
            freshness_p99_s=freshness.quantile_s(0.99),
            answer_p50_ms=round(outcome.latency_p50_s * 1000, 1),
            answer_p99_ms=round(outcome.latency_p99_s * 1000, 1),
            most_watched=answers.most_watched(ask, RANKED),
            abandoned=abandoned,
            leaving=[
                (film["title"], answers.retention(ask, film["content_id"]))
                for film in abandoned[:1]
            ],
            audience=audience,
            peak_rss_mib=memory.peaks() | {"all together": memory.peak_total_mib},
            compared=len(expected) + len(truth.audience_by_hour),
            differences=[
                *differences(expected, found),
                *audience_differences(audience, truth),
            ],
            examples=outcome.examples,
        )

    def _say(self, step: str) -> None:
        seconds = time.monotonic() - self._started
        self._console.print(f"[dim]{seconds:5.1f} s[/]  {step}", highlight=False)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("         {task.description:>8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )


def load_catalogue(admin: Analyst, films: Iterable[Film]) -> None:
    """Tell ClickHouse the films' titles, genres and durations; the latest telling holds."""
    rows = b"\n".join(
        json.dumps(
            {
                "content_id": str(film.content_id),
                "title": film.title,
                "genre": film.genre,
                "year": film.year,
                "duration_ms": film.duration_ms,
            }
        ).encode()
        for film in films
    )
    admin.execute(
        "INSERT INTO ugc.films (content_id, title, genre, year, duration_ms) FORMAT JSONEachRow",
        rows,
    )


def _send(
    kafka: KafkaClient,
    topic: str,
    record: tuple[bytes, bytes | None, Sequence[tuple[str, bytes]]],
) -> None:
    kafka.produce_raw(topic, [record])


def _dead_letters(kafka: KafkaClient) -> Counter[str]:
    """Dead letters by reason; one that was written twice has one key and counts once."""
    latest = {
        record.key: DeadLetter.from_record(record.value or b"", record.headers)
        for record in kafka.read_all(DEAD_LETTERS_TOPIC)
    }
    return Counter(letter.reason.value for letter in latest.values())


def _without_rows(figures: Figures) -> Figures:
    return {name: value for name, value in figures.items() if name[0] != "rows"}


def _total(figures: Figures, kind: str) -> int:
    return sum(int(value or 0) for name, value in figures.items() if name[0] == kind)
