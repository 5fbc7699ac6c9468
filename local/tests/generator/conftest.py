import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from ugc_local.generator import GroundTruth, Plan, Poison, Request

# importlib mode adds no test folder to the path; `verdict` is shared by this folder's tests.
sys.path.insert(0, str(Path(__file__).parent))

from small_api import Api, serving

DAY = date(2026, 1, 15)
DAYS = 2
Streamed = tuple[Plan, GroundTruth, list[Request], list[Poison]]


@pytest.fixture(scope="session")
def streamed() -> Callable[[int, int], Streamed]:
    """A whole stream of (seed, events) in two days, in memory: made once for all that ask."""
    made: dict[tuple[int, int], Streamed] = {}

    def stream(seed: int, events: int) -> Streamed:
        if (seed, events) not in made:
            # Small cohorts, so that several are merged.
            plan = Plan(seed, DAY, events, DAYS, cohort_viewer_days=70)
            truth = GroundTruth(plan.day, plan.catalogue, DAYS)
            items = list(plan.stream(truth))
            requests = [item for item in items if isinstance(item, Request)]
            poison = [item for item in items if isinstance(item, Poison)]
            made[seed, events] = plan, truth, requests, poison
        return made[seed, events]

    return stream


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        yield api
    assert not [t for t in threading.enumerate() if t.name.startswith("replay")]
