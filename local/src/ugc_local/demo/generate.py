"""Playing days of viewing into a stack that is up, resumably."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from uuid import UUID

from ugc_local.demo.analyst import Analyst
from ugc_local.demo.run import load_catalogue, send_poison
from ugc_local.generator import GroundTruth, Journal, Outcome, Plan, replay, token_minter
from ugc_local.generator.pace import paced
from ugc_local.kafka.client import KafkaClient


@dataclass(frozen=True)
class Target:
    """The stack: `admin` writes the catalogue, `kafka` takes poison."""

    api_url: str
    jwt_secret: str
    kafka: KafkaClient
    admin: Analyst


def generate(
    plan: Plan,
    target: Target,
    state: Path,
    *,
    rate_per_s: float | None,
    on_progress: Callable[[int], None],
    connections: int = 8,
) -> Outcome:
    """Send what the plan still owes, and return what all runs together came to.

    Args:
        plan: the same at each call with the same `state`.
        target: where to.
        state: see `Journal`; once it says that all is sent, nothing is.
        rate_per_s: events a second at most; None: as fast as the API takes them.
        on_progress: told how many events are answered, of this call and earlier ones.
        connections: how many at a time.

    Raises:
        ReplayError, JournalError, QueryError: the state is kept, so that the next call goes on.
    """

    def token_for(user_id: UUID) -> str:
        # Minted at the moment of use: at a low rate it takes longer than a token is good for.
        return token_minter(target.jwt_secret, issued_at_s=int(time.time()))(user_id)

    journal = Journal(state, plan)
    if journal.complete:
        return journal.outcome()
    load_catalogue(target.admin, plan.catalogue)
    started_s = time.monotonic()

    def tick(_events: int) -> None:
        journal.save(time.monotonic() - started_s)
        on_progress(journal.events)

    stream = journal.todo(GroundTruth(plan.day, plan.catalogue, plan.days))
    if rate_per_s is not None:
        stream = paced(stream, rate_per_s, stop=Event(), clock=time.monotonic)
    complete = False
    try:
        complete = replay(
            stream,
            target.api_url,
            token_for,
            send_poison=send_poison(target.kafka),
            connections=connections,
            on_progress=tick,
            on_answered=journal.answered,
        ).complete
    finally:
        journal.save(time.monotonic() - started_s, complete=complete)
    return journal.outcome()
