"""Makes faults, some at a time, until enough of them had an effect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from ugc_local.chaos.consumer import Consumer
from ugc_local.chaos.kind import Kind, Part
from ugc_local.chaos.load import Load
from ugc_local.chaos.outcome import FaultRecord
from ugc_local.chaos.scene import NoEffectError, Scene
from ugc_local.chaos.world import Store, World
from ugc_local.deadline import Deadline
from ugc_local.demo.analyst import QueryError
from ugc_local.process import ProcessExitedError
from ugc_local.stores import NotReadyError

_TICK_S = 0.1
_MOST_ENDS = 5
"""A process may end by itself so often in one run."""
_LOOK_AHEAD = 6
"""So many kinds are drawn ahead: one that cannot be done now waits."""
_MOST_WAITING = 200
"""Where none of so many can be done, and nothing happens that could change it, none ever will."""
_PATIENCE_FAULTS = 3
"""So many times as many faults as are wanted, at the most."""


class StormError(Exception):
    """The run cannot go on; the message says why."""


@dataclass(slots=True)
class _Raging:
    kind: Kind
    record: FaultRecord
    consumer: Consumer
    work: Future[None] = field(default_factory=Future)


class Storm:
    """Draws faults and makes them; never two at once of the same part."""

    def __init__(
        self,
        world: World,
        load: Load,
        *,
        kinds: Iterator[Kind],
        seed: int,
        now_s: Callable[[], float],
        at_once: int = 3,
        may_begin: Callable[[], bool] = lambda: True,
        pause_s: float = 1.5,
        on_fault: Callable[[FaultRecord], None] = lambda _: None,
    ) -> None:
        """Nothing happens before `rage`.

        Args:
            world: what the faults happen to.
            load: it goes on meanwhile.
            kinds: without end, in the order in which they are tried.
            seed: of what is left to chance.
            now_s: seconds since the run began.
            at_once: how many faults there may be at a time.
            may_begin: asked before each fault.
            pause_s: at the most, between two beginnings.
            on_fault: told of every fault that is over.
        """
        self.records: list[FaultRecord] = []
        self._world = world
        self._load = load
        self._kinds = kinds
        self._chance = Random(seed)  # noqa: S311 - reproducible on purpose
        self._now_s = now_s
        self._at_once = at_once
        self._may_begin = may_begin
        self._pause_s = pause_s
        self._on_fault = on_fault
        self._waiting: list[Kind] = []
        self._raging: list[_Raging] = []
        self._cancelled = threading.Event()

    def rage(self, faults: int) -> None:
        """Return when so many had an effect and all are taken back.

        Raises StormError when a store ends by itself, when what must be true after a fault does
        not come true, or when too many faults have no effect.
        """
        next_at_s = 0.0
        with ThreadPoolExecutor(self._at_once, "fault") as pool, self._cancelling():
            while True:
                self._reap()
                self._mend()
                missing = faults - sum(record.counts for record in self.records)
                if missing <= 0 and not self._raging:
                    return
                if len(self.records) >= _PATIENCE_FAULTS * faults + 10:
                    raise StormError(f"{len(self.records)} faults, and {missing} still to come")
                room = len(self._raging) < min(self._at_once, missing)
                due = room and self._now_s() >= next_at_s and self._may_begin()
                if due and (found := self._choose()):
                    self._begin(pool, *found)
                    next_at_s = self._now_s() + self._chance.random() * self._pause_s
                self._cancelled.wait(_TICK_S)

    @contextmanager
    def _cancelling(self) -> Iterator[None]:
        """Faults that are under way end early when the block is left by an exception."""
        try:
            yield
        except BaseException:
            self._cancelled.set()
            raise

    def _choose(self) -> tuple[Kind, Scene] | None:
        """The first kind of those drawn that can be done now."""
        while len(self._waiting) < _LOOK_AHEAD:
            self._waiting.append(next(self._kinds))
        taken = {part for raging in self._raging for part in raging.kind.parts} - {Part.CONSUMER}
        places = [place for place in self._world.consumers if not place.befallen]
        self._chance.shuffle(places)
        spare = [place for place in places if place.runs()]
        for kind in self._waiting:
            if kind.parts & taken:
                continue
            for consumer in places:
                chance = Random(self._chance.random())  # noqa: S311
                scene = Scene(self._world, self._load, consumer, chance, self._cancelled)
                # One is always left alone: it takes the partitions of all the others.
                if Part.CONSUMER in kind.parts and spare == [consumer]:
                    continue
                if kind.needs(scene):
                    self._waiting.remove(kind)
                    return kind, scene
        if not self._raging:
            # Those that wait may all wait for what only another kind brings about.
            if len(self._waiting) >= _MOST_WAITING:
                names = sorted({kind.name for kind in self._waiting})
                raise StormError(f"none of these can be done: {', '.join(names)}")
            self._waiting.append(next(self._kinds))
        return None

    def _begin(self, pool: ThreadPoolExecutor, kind: Kind, scene: Scene) -> None:
        befalls = Part.CONSUMER in kind.parts
        whom = scene.consumer.name if befalls else ""
        record = FaultRecord(kind.name, whom, self._now_s())
        if befalls:
            scene.claim(scene.consumer)
        self.records.append(record)
        raging = _Raging(kind, record, scene.consumer)
        raging.work = pool.submit(self._make, raging, scene)
        self._raging.append(raging)

    def _make(self, raging: _Raging, scene: Scene) -> None:
        record, kind = raging.record, raging.kind
        try:
            with scene.undo:
                record.evidence = kind.do(scene)
        except NoEffectError as error:
            record.why_not = str(error)
        except (NotReadyError, ProcessExitedError, QueryError) as error:
            raise StormError(f"“{kind.name}” ({record.whom}): {error}") from error
        record.undone_s = self._now_s()
        ready = Deadline.after(scene.timing.ready_s)
        holds = ready.poll(
            lambda: self._cancelled.is_set() or kind.holds(scene), interval_s=_TICK_S
        )
        if not holds:
            raise StormError(f"after “{kind.name}” ({record.whom}) not true: {kind.afterwards}")

    def _reap(self) -> None:
        for raging in list(self._raging):
            if raging.work.done():
                self._raging.remove(raging)
                raging.work.result()
                self._on_fault(raging.record)

    def _mend(self) -> None:
        """As Kubernetes would: start again what ended by itself."""
        for place in self._world.consumers:
            if not place.befallen and place.mend() and len(place.ended_by_itself) > _MOST_ENDS:
                raise StormError(f"it ends again and again: {place.ended_by_itself[-1]}")
        befallen = {part for raging in self._raging for part in raging.kind.parts}
        for part, store in self._stores():
            if part not in befallen and (status := store.process.exit_status()) is not None:
                raise StormError(
                    f"{store.name} ended by itself, status {status}. {store.process.last_words()}"
                )

    def _stores(self) -> list[tuple[Part, Store]]:
        return [(Part.BROKER, self._world.kafka), (Part.CLICKHOUSE, self._world.clickhouse)]
