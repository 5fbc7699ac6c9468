"""A steady load without an end, and the truth about exactly what was acknowledged.

For tests that break things meanwhile, and for benchmarks: where `replay` sends a plan and its
truth describes all of it, this sends until it is stopped, and its truth is told of a request only
when the API has answered it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from uuid import UUID

from ugc_local.generator.identity import Identities
from ugc_local.generator.messages import Poison, Request
from ugc_local.generator.pace import paced
from ugc_local.generator.pieces import Flush, Rogue
from ugc_local.generator.plan import Plan
from ugc_local.generator.render import Renderer
from ugc_local.generator.sender import Outcome, SendPoison, replay
from ugc_local.generator.tally import Tally
from ugc_local.generator.truth import GroundTruth


class SteadyLoad:
    """Plays viewers of a plan for as long as it is wanted, for one `run`.

    Args:
        plan: its `target_events` does not count. Viewers are played by the cohort: within one
            in the order of time, the next begins at the first midnight again.
        rate_per_s: events a second, of the whole load; see `paced`.
        clock: seconds.

    Attributes:
        truth: of what was acknowledged. Whole when `run` has returned or raised.
    """

    def __init__(
        self, plan: Plan, *, rate_per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.truth = GroundTruth(plan.day, plan.catalogue, plan.days)
        self._plan = plan
        self._rate_per_s = rate_per_s
        self._clock = clock
        self._render = Renderer(plan.seed, plan.day, plan.catalogue)
        self._lock = threading.Lock()
        self._under_way: dict[int, tuple[int, Flush | Rogue]] = {}  # place → (viewer, what)
        self._to_come: dict[int, int] = {}  # viewer → requests and records without an answer

    @property
    def events_in_doubt(self) -> int:
        """Events of requests that were handed over and have no answer: they may have been taken.

        0 when `run` has returned an outcome that is complete.
        """
        with self._lock:
            return sum(
                sent.events for _, sent in self._under_way.values() if isinstance(sent, Flush)
            )

    def run(
        self,
        api_url: str,
        token_for: Callable[[UUID], str],
        *,
        stop: threading.Event,
        send_poison: SendPoison,
        connections: int = 4,
        on_progress: Callable[[int], None] = lambda _: None,
        patience_s: float = 120.0,
    ) -> Outcome:
        """Send until `stop` is set, then wait for the answers that are due.

        Args and errors are those of `replay`; what is under way when it raises is in doubt.
        """
        try:
            return replay(
                paced(self._stream(), self._rate_per_s, stop=stop, clock=self._clock),
                api_url,
                token_for,
                send_poison=send_poison,
                connections=connections,
                on_progress=on_progress,
                on_answered=self._answered,
                patience_s=patience_s,
                clock=self._clock,
            )
        finally:
            self.truth.close_all()

    def _stream(self) -> Iterator[Request | Poison]:
        ids = Identities(self._plan.seed)
        for place, (_, viewer, _, sent) in enumerate(self._entries()):
            with self._lock:
                self._under_way[place] = viewer, sent
            yield self._render.item(viewer, ids.viewer(viewer), sent)

    def _entries(self) -> Iterator[tuple[int, int, int, Flush | Rogue]]:
        size = max(1, self._plan.cohort_viewer_days // self._plan.days)
        for first in count(0, size):
            histories = [(v, self._plan.history(v)) for v in range(first, first + size)]
            with self._lock:
                self._to_come.update((v, len(history)) for v, history in histories if history)
            yield from sorted(
                (sent.at_ms, viewer, place, sent)
                for viewer, history in histories
                for place, sent in enumerate(history)
            )

    def _answered(self, place: int, _: Tally) -> None:
        with self._lock:
            viewer, sent = self._under_way.pop(place)
            self.truth.add(viewer, self._render.facts(viewer, sent))
            self._to_come[viewer] -= 1
            if not self._to_come[viewer]:
                del self._to_come[viewer]
                self.truth.close(viewer)
