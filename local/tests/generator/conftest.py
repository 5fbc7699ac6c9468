import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from ugc_local.generator import GroundTruth, Plan, Poison, Request

# importlib mode adds no test folder to the path; `verdict` is shared by this folder's tests.
sys.path.insert(0, str(Path(__file__).parent))

DAY = date(2026, 1, 15)
Streamed = tuple[Plan, GroundTruth, list[Request], list[Poison]]


@pytest.fixture(scope="session")
def streamed() -> Callable[[int, int], Streamed]:
    """A whole stream of (seed, events), held in memory: made once for all tests that ask for it."""
    made: dict[tuple[int, int], Streamed] = {}

    def stream(seed: int, events: int) -> Streamed:
        if (seed, events) not in made:
            # Small cohorts, so that several are folded.
            plan = Plan(seed, DAY, events, cohort_viewers=70)
            truth = GroundTruth(plan.day, plan.catalogue)
            items = list(plan.stream(truth))
            requests = [item for item in items if isinstance(item, Request)]
            poison = [item for item in items if isinstance(item, Poison)]
            made[seed, events] = plan, truth, requests, poison
        return made[seed, events]

    return stream
