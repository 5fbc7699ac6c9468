"""One demo: the stack up, some days replayed, every figure compared, everything stopped."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from ugc_events import FAMILIES

from ugc_local.credentials import ADMIN, ANALYST
from ugc_local.deadline import Deadline
from ugc_local.demo.analyst import Analyst
from ugc_local.demo.day import ReplayedDay
from ugc_local.demo.freshness import Sampler
from ugc_local.demo.raw_rows import RawRows
from ugc_local.demo.report import Report
from ugc_local.generator import Film, GroundTruth, Plan, SendPoison, replay, token_minter
from ugc_local.kafka.client import KafkaClient
from ugc_local.memory import MemorySampler
from ugc_local.options import StackOptions
from ugc_local.process import ProcessIdentity
from ugc_local.stack import ETL_GROUP, Stack

_STALLED_S = 60.0
_USUAL_EVENTS = 200_000
"""What a demo has by default. A longer one reports also what that many took in memory."""


class DemoError(RuntimeError):
    """The demo could not come to its comparison; the message says what was missing."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What to replay, and where.

    Attributes:
        data_dir: of the stack; emptied first.
        report: file for the figures as JSON.
        events: how many events are sent over HTTP.
        seed, day, days: what is generated, see `Plan`.
        time_zone: IANA name, for the audience's hours.
        connections: of the replaying clients.
        before_comparison: called when ClickHouse holds everything, with an administrator's
            connection; for a person or a test that wants to see the comparison fail.
    """

    data_dir: Path
    report: Path
    events: int = _USUAL_EVENTS
    seed: int = 1
    day: date = field(default_factory=lambda: datetime.now(UTC).date() - timedelta(days=1))
    days: int = 1
    time_zone: str = "UTC"
    connections: int = 8
    before_comparison: Callable[[Analyst], None] = lambda _analyst: None


class Demo:
    """One run. `run()` returns the report; the caller shows it and exits by `report.match`."""

    def __init__(self, options: DemoOptions, environ: Mapping[str, str], console: Console) -> None:
        self._options = options
        self._environ = environ
        self._console = console
        self._started_s = time.monotonic()

    def run(self) -> Report:
        """Raises StackError, ReplayError, QueryError or DemoError where it cannot compare.

        Whatever happens, nothing is left running.
        """
        # Now, so that a place that cannot be written is not found out at the end; and whatever
        # happens, no report of an earlier run is taken for this one's.
        _write(self._options.report, "")
        self._options.report.unlink()
        with self.replayed() as day:
            return self.conclude(day)

    def conclude(self, day: ReplayedDay) -> Report:
        """Compare, and write the report's file."""
        self._options.before_comparison(day.admin)
        self._say("comparing every figure with the ground truth")
        report = day.compare()
        figures = json.dumps(report.as_json(), indent=2, ensure_ascii=False)
        _write(self._options.report, figures + "\n")
        return report

    @contextmanager
    def replayed(self) -> Iterator[ReplayedDay]:
        """The stack with the day in it, up for as long as the block lasts. Raises as run does."""
        stack_options = StackOptions(self._options.data_dir, fresh=True)
        with Stack(stack_options, self._environ, self._say) as stack:
            processes = stack.identities() | {"demo": ProcessIdentity.of(os.getpid())}
            with MemorySampler(processes) as memory:
                yield self._replay(stack, memory)

    def _replay(self, stack: Stack, memory: MemorySampler) -> ReplayedDay:
        options, secrets = self._options, stack.credentials
        admin = Analyst(stack.clickhouse_http_url, ADMIN, secrets.admin_password)
        kafka = KafkaClient(stack.kafka_bootstrap)
        plan = Plan(options.seed, options.day, options.events, options.days)
        truth = GroundTruth(options.day, plan.catalogue, options.days)
        load_catalogue(admin, plan.catalogue)
        raw_rows = RawRows(admin.ask)
        sampler = Sampler(raw_rows.look)
        days = f"{options.days} days from " if options.days > 1 else ""
        self._say(f"replaying {days}{options.day}: {options.events:,} events over HTTP")
        started_s = time.monotonic()
        sampler.start()
        with self._progress() as progress:
            sent = progress.add_task("sent", total=options.events)
            visible = progress.add_task("visible", total=options.events)

            peaks_mib: dict[str, Mapping[str, float]] = {}

            def on_progress(events: int) -> None:
                if events > _USUAL_EVENTS and not peaks_mib:
                    peaks_mib[f"{_USUAL_EVENTS:,} events"] = memory.peaks()
                stack.require_running()
                sampler.require_running()
                progress.update(sent, completed=events)
                progress.update(visible, completed=raw_rows.visible)

            outcome = replay(
                plan.stream(truth),
                stack.api_url,
                token_minter(secrets.jwt_secret, issued_at_s=int(time.time())),
                send_poison=send_poison(kafka),
                connections=options.connections,
                on_progress=on_progress,
            )
            progress.update(visible, total=truth.accepted)
            self._await_etl(kafka, lambda: on_progress(outcome.events))
            sightings = sampler.stop()
            peaks_mib["replayed"] = memory.peaks()
            on_progress(outcome.events)
        return ReplayedDay(
            day=options.day,
            time_zone=options.time_zone,
            started_s=self._started_s,
            replay_s=time.monotonic() - started_s,
            outcome=outcome,
            truth=truth,
            sightings=sightings,
            kafka=kafka,
            admin=admin,
            analyst=Analyst(stack.clickhouse_http_url, ANALYST, secrets.analyst_password),
            memory=memory,
            peaks_mib=peaks_mib,
        )

    def _await_etl(self, kafka: KafkaClient, on_progress: Callable[[], None]) -> None:
        """Until the ETL has committed all that is in Kafka, or has not moved for a minute."""
        least, stalled = math.inf, Deadline.after(_STALLED_S)

        def caught_up() -> bool:
            nonlocal least, stalled
            on_progress()
            lag = sum(sum(kafka.lag(ETL_GROUP, family.topic).values()) for family in FAMILIES)
            if lag < least:
                least, stalled = lag, Deadline.after(_STALLED_S)
            elif not stalled.left_s():
                raise DemoError(
                    f"the ETL has not moved for {_STALLED_S:.0f} s with {lag:,} records to go; "
                    f"its logs are in {self._options.data_dir / 'logs'}"
                )
            return not lag

        Deadline(math.inf).poll(caught_up, interval_s=0.1)

    def _say(self, step: str) -> None:
        seconds = time.monotonic() - self._started_s
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
    rows = "\n".join(
        json.dumps(
            {
                "content_id": str(film.content_id),
                "title": film.title,
                "genre": film.genre,
                "year": film.year,
                "duration_ms": film.duration_ms,
            }
        )
        for film in films
    )
    admin.execute(
        "INSERT INTO ugc.films (content_id, title, genre, year, duration_ms) "
        f"FORMAT JSONEachRow\n{rows}"
    )


def send_poison(kafka: KafkaClient) -> SendPoison:
    """For `replay`: each record is in Kafka when the call returns."""

    def send(
        topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        kafka.produce_raw(topic, [(key, value, headers)])

    return send


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DemoError(f"the report cannot be written: {error}") from error
