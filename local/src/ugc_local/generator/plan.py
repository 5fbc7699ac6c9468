"""A day of the cinema: which viewers there are, and the stream of everything that is sent."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from random import Random

from ugc_local.generator.catalogue import Film, accumulated_popularity, make_catalogue
from ugc_local.generator.identity import Identities
from ugc_local.generator.messages import Poison, Request
from ugc_local.generator.outbox import Shares
from ugc_local.generator.pieces import Flush, Rogue, cut
from ugc_local.generator.render import Renderer
from ugc_local.generator.script import write_day
from ugc_local.generator.truth import GroundTruth
from ugc_local.generator.violations import MALFORMED

Day = list[Flush | Rogue]


@dataclass(frozen=True)
class Plan:
    """What is to be generated. Equal plans stream equal bytes.

    Attributes:
        seed: of everything that is drawn.
        day: the UTC day in which every sound event occurred. Choose one that has ended: the
            API refuses events from the future.
        target_events: exactly how many events the API is sent, retries and malformed ones
            included.
        shares: how often what should not happen does.
        cohort_viewers: whose day is streamed in the order of time; the next cohort begins at
            midnight again. Memory grows with it, and with nothing else.
    """

    seed: int
    day: date
    target_events: int
    shares: Shares = field(default_factory=Shares)
    cohort_viewers: int = 2_000

    @cached_property
    def catalogue(self) -> tuple[Film, ...]:
        """The films, always the same for a seed."""
        return make_catalogue(self.seed)

    def viewer_day(self, viewer: int) -> Day:
        """What the apps of viewer number `viewer` send, whoever else there is."""
        return write_day(
            Random(f"{self.seed}/viewer/{viewer}"),  # noqa: S311 - nothing secret
            self.catalogue,
            self._popularity,
            self.shares,
            len(MALFORMED),
        )

    def stream(self, truth: GroundTruth) -> Iterator[Request | Poison]:
        """Everything that is sent, in order; `truth` is told of each item as it is handed out.

        Within a cohort items are in the order of sending. The last viewer's day is cut short
        where `target_events` is reached.
        """
        render = Renderer(self.seed, self.day, self.catalogue)
        left, viewer = self.target_events, 0
        while left > 0:
            # All that a cohort needs is gone before the next one is made.
            viewers, events = yield from self._stream_cohort(render, truth, viewer, left)
            viewer += viewers
            left -= events

    def _stream_cohort(
        self, render: Renderer, truth: GroundTruth, first: int, limit: int
    ) -> Generator[Request | Poison, None, tuple[int, int]]:
        """The cohort that begins with viewer `first`; how many viewers and events it had."""
        days: list[Day] = []
        left = limit
        while left > 0 and len(days) < self.cohort_viewers:
            day = self.viewer_day(first + len(days))
            events = _events(day)
            days.append(day if events <= left else _cut_day(day, left))
            left -= min(events, left)
        ids = Identities(self.seed)
        users = [ids.viewer(first + number) for number in range(len(days))]
        order = sorted(
            (sent.at_ms, number, place)
            for number, day in enumerate(days)
            for place, sent in enumerate(day)
        )
        try:
            for _, number, place in order:
                viewer, sent = first + number, days[number][place]
                if isinstance(sent, Rogue):
                    poison = render.poison(viewer, users[number], sent)
                    truth.add_poison(poison.expected)
                    yield poison
                else:
                    request, facts = render.request(viewer, users[number], sent)
                    truth.add_request(viewer, request.expected, facts, again=request.again)
                    yield request
        finally:
            truth.close_cohort()
        return len(days), limit - left

    @cached_property
    def _popularity(self) -> list[float]:
        return accumulated_popularity(self.catalogue)


def _events(day: Day) -> int:
    return sum(sent.events for sent in day if isinstance(sent, Flush))


def _cut_day(day: Day, events: int) -> Day:
    """The beginning of the day, up to exactly `events` events."""
    kept: Day = []
    for sent in day:
        if isinstance(sent, Flush):
            if sent.events >= events:
                kept.append(sent._replace(pieces=cut(sent.pieces, events)))
                break
            events -= sent.events
        kept.append(sent)
    return kept
