"""Days of the cinema: which viewers there are, and the stream of everything that is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import count
from pathlib import Path
from random import Random

from ugc_local.generator.catalogue import Film, Shelf, make_catalogue
from ugc_local.generator.habits import Habits
from ugc_local.generator.identity import Identities
from ugc_local.generator.messages import Poison, Request
from ugc_local.generator.outbox import Shares
from ugc_local.generator.pieces import Flush, Rogue, cut
from ugc_local.generator.render import Renderer
from ugc_local.generator.script import World, write_history
from ugc_local.generator.spool import Spool
from ugc_local.generator.truth import GroundTruth
from ugc_local.generator.violations import MALFORMED

History = list[Flush | Rogue]
Entry = tuple[int, int, int, Flush | Rogue]
"""When it is sent, by which viewer, at which place of that viewer's history, and what it is."""


@dataclass(frozen=True)
class Plan:
    """What is to be generated. Equal plans stream equal bytes.

    Attributes:
        seed: of everything that is drawn.
        day: the first UTC day; every sound event occurs in it or in the `days - 1` after it.
            Choose days that have ended: the API refuses events from the future.
        target_events: exactly how many events the API is sent in all the days together, retries
            and malformed ones included.
        days: viewers come back from day to day, and go on with what they left unfinished.
        shares: how often what should not happen does.
        habits: what viewers do.
        cohort_viewer_days: whose script is in memory at a time, as viewers times days; changes
            no byte of the stream.
        folder: for temporary files where there is more than one cohort; None: the system's.
    """

    seed: int
    day: date
    target_events: int
    days: int = 1
    shares: Shares = field(default_factory=Shares)
    habits: Habits = field(default_factory=Habits)
    cohort_viewer_days: int = 500
    folder: Path | None = None

    @cached_property
    def catalogue(self) -> tuple[Film, ...]:
        """The films, always the same for a seed and its habits."""
        return make_catalogue(self.seed, self.habits.zipf_exponent)

    def history(self, viewer: int) -> History:
        """What the apps of viewer number `viewer` send in all days, whoever else there is."""
        return write_history(
            lambda day: Random(f"{self.seed}/viewer/{viewer}/{day}"),  # noqa: S311 - no secret
            self._world,
        )

    def stream(self, truth: GroundTruth) -> Iterator[Request | Poison]:
        """Everything that is sent, in the order of time.

        Who sends what is decided before the first item is handed out, and `truth` is told of
        all of it by then; with more than one cohort, what was decided waits on disk. The last
        viewer's history is cut short where `target_events` is reached.
        """
        render = Renderer(self.seed, self.day, self.catalogue)
        with Spool[Entry](self.folder) as spool:
            for cohort in self._cohorts(render, truth):
                spool.add(cohort)
            ids = Identities(self.seed)
            for _, viewer, _, sent in spool.merged():
                yield render.item(viewer, ids.viewer(viewer), sent)

    def _cohorts(self, render: Renderer, truth: GroundTruth) -> Iterator[list[Entry]]:
        """The entries of some viewers at a time, in the order of time, until all are made."""
        left, cohort, viewers = self.target_events, list[Entry](), 0
        for viewer in count():
            if left <= 0:
                break
            history = self.history(viewer)
            events = _events(history)
            if events > left:
                history = _cut(history, left)
            left -= min(events, left)
            for sent in history:
                truth.add(viewer, render.facts(viewer, sent))
            truth.close(viewer)
            cohort += [(sent.at_ms, viewer, place, sent) for place, sent in enumerate(history)]
            viewers += 1
            if viewers * self.days >= self.cohort_viewer_days:
                yield sorted(cohort)
                cohort, viewers = [], 0
        if cohort:
            yield sorted(cohort)

    @cached_property
    def _world(self) -> World:
        return World(
            films=self.catalogue,
            shelf=Shelf.of(self.catalogue),
            habits=self.habits,
            shares=self.shares,
            malformed_kinds=len(MALFORMED),
            first_weekday=self.day.weekday(),
            days=self.days,
        )


def _events(history: History) -> int:
    return sum(sent.events for sent in history if isinstance(sent, Flush))


def _cut(history: History, events: int) -> History:
    """The beginning of the history, up to exactly `events` events."""
    kept: History = []
    for sent in history:
        if isinstance(sent, Flush):
            if sent.events >= events:
                kept.append(sent._replace(pieces=cut(sent.pieces, events)))
                break
            events -= sent.events
        kept.append(sent)
    return kept
