"""Days played into a running stack, interrupted and gone on with: all is there, and the truth."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import click
import pytest
from ugc_events import FAMILIES
from ugc_local.credentials import ADMIN, ANALYST
from ugc_local.deadline import Deadline
from ugc_local.demo import answers
from ugc_local.demo.analyst import Analyst
from ugc_local.demo.compare import differences
from ugc_local.demo.forms import first_day
from ugc_local.demo.generate import Target, generate
from ugc_local.demo.truth_figures import RANKED, truth_figures
from ugc_local.generator import GroundTruth, Outcome, Plan
from ugc_local.kafka.client import KafkaClient
from ugc_local.options import StackOptions
from ugc_local.stack import ETL_GROUP, Stack

DAY = date(2026, 1, 15)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class InterruptedHereError(Exception):
    pass


@pytest.mark.integration
def test_an_interrupted_run_goes_on_and_the_analyst_sees_all_of_it_once(tmp_path: Path) -> None:
    plan = Plan(3, DAY, 6_000, days=3)
    state = tmp_path / "state.json"
    options = StackOptions(tmp_path / "data", fresh=True)
    with Stack(options, os.environ, lambda _: None) as stack:
        secrets, kafka = stack.credentials, KafkaClient(stack.kafka_bootstrap)
        admin = Analyst(stack.clickhouse_http_url, ADMIN, secrets.admin_password)
        target = Target(stack.api_url, secrets.jwt_secret, kafka, admin)

        def play(limit: int) -> Outcome:
            def stop_at(events: int) -> None:
                if events >= limit:
                    raise InterruptedHereError

            return generate(plan, target, state, rate_per_s=None, on_progress=stop_at)

        for limit in (1_000, 3_000):
            with pytest.raises(InterruptedHereError):
                play(limit)
        outcome = play(10**9)
        assert outcome.complete
        assert play(0) == outcome  # nothing is left to do: it does not even report progress
        truth = GroundTruth(plan.day, plan.catalogue, plan.days)
        for _ in plan.stream(truth):
            pass

        def caught_up() -> bool:
            stack.require_running()
            return not sum(lag for f in FAMILIES for lag in kafka.lag(ETL_GROUP, f.topic).values())

        assert Deadline.after(120).poll(caught_up, interval_s=0.2)
        ask = Analyst(stack.clickhouse_http_url, ANALYST, secrets.analyst_password).ask
        found = answers.figures(ask) | answers.rankings(ask, RANKED)
    of_the_pipeline = {
        name: value
        for name, value in truth_figures(truth).items()
        if name[0] in {"events", "film", "retention", "retention share"}
        or name[0] in {"most watched", "abandoned most"}
    }
    rows = {name: found.pop(name) for name in tuple(found) if name[0] == "rows"}
    assert differences(of_the_pipeline, found) == []
    # Requests that were under way when it was interrupted may have been taken both times.
    for (_, family, kind), count in rows.items():
        assert int(count or 0) >= truth.rows[family, kind]
    assert (outcome.accepted, outcome.rejected) == (truth.accepted, truth.rejected)
    assert outcome.poison == truth.dead_letters.total()


def test_the_last_day_is_given_and_has_ended() -> None:
    assert first_day(None, 1, NOW) == date(2026, 2, 28)
    assert first_day(None, 7, NOW) == date(2026, 2, 22)
    assert first_day(datetime(2026, 1, 31), 31, NOW) == date(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(click.BadParameter, match="not ended"):
        first_day(datetime(2026, 3, 1), 1, NOW)  # noqa: DTZ001
