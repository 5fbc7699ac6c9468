"""Commands that repair the same places at once, under random schedules, with the real lease.

Each command is a thread of which the scheduler lets one run at a time, from one request to the
next; it may stop anywhere for any time, and die anywhere. What it has sent arrives all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ugc_etl.operations.lease import Lease, LeaseTerms
from ugc_etl.operations.memory import MemoryLease, MemoryLeaseLog
from ugc_etl.operations.ports import Declared
from ugc_etl.operations.rows_once import Clock
from ugc_etl.ports import OutcomeUnknownError, RefusedError

from ugc_etl_simulation.clickhouse import Violation

TERMS = LeaseTerms(deadline_s=20, fence_s=4)
RUN_LIMIT_S = 30.0
"""`max_execution_time` of the commands' inserts: longer than a newcomer waits."""
PLACES = 12
STEPS = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a test takes away.

    Attributes:
        lease: the lease.
        fences: taking it keeps former holders from declaring.
        kills: taking it ends the inserts that still run.
        looks_with_lease: a command looks what is there when it has the lease.
        late_rows_refused: the table's constraint.
    """

    lease: type[Lease] = Lease
    fences: bool = True
    kills: bool = True
    looks_with_lease: bool = True
    late_rows_refused: bool = True


class HastyLease(Lease):
    """Does not wait for what another has declared."""

    def _wait(self, declared: Declared | None, look: Callable[[Declared], None]) -> None:
        return None


PLANTED: dict[str, Rules] = {
    "no fence": Rules(fences=False),
    "no wait": Rules(lease=HastyLease),
    "no kill": Rules(kills=False),
    "looks first": Rules(looks_with_lease=False),
    "late rows": Rules(late_rows_refused=False),
}
"""By name: the rules with one taken away."""


class _Killed(Exception):  # noqa: N818 - it is what happened
    pass


@dataclass(eq=False, slots=True)
class Insert:
    """An insert under way, or running since `began_s`; `speed`: how soon it commits."""

    places: tuple[int, ...]
    token: str
    until_s: int
    not_before_s: float
    speed: float
    began_s: float | None = None
    answer: str | None = None


@dataclass(slots=True)
class World:
    """Kafka's log of the lease, one table, one clock, and the commands."""

    seed: int
    rules: Rules
    random: Random = field(init=False)
    now_s: float = 1000.0
    rows: dict[int, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    inserts: list[Insert] = field(default_factory=list)
    lease: MemoryLease = field(default_factory=MemoryLease)
    commands: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - the same schedule from the same seed

    def run(self) -> int:
        """Chaos; then whether one command alone repairs all. Returns how often rows went in."""
        try:
            for _ in range(STEPS):
                self._step()
            for command in self.commands:
                command.kill()
            self.commands = [Command(self, patient=True)]
            for _ in range(20 * STEPS):
                self._step(chaos=False)
                if len(self.rows) == PLACES:
                    return len(self.tokens)
            raise Violation(f"stuck: {self.rows}")
        finally:
            for command in self.commands:
                command.kill()

    def _step(self, *, chaos: bool = True) -> None:
        draw, random = self.random.random(), self.random
        going = [c for c in self.commands if c.goes(self.now_s)]
        if chaos and draw < 0.01 and len(self.commands) < 4:
            self.commands.append(Command(self))
        elif chaos and draw < 0.025 and self.commands:
            random.choice(self.commands).until_s = self.now_s + random.choice((5, 25, 60))
        elif chaos and draw < 0.03 and self.commands:
            random.choice(self.commands).kill()
        elif chaos and draw < 0.04 and self.rows:
            # Something is lost again, so that there is always something to repair.
            if not self.inserts:
                self.rows.pop(random.choice(list(self.rows)))
        elif draw < 0.6 and going:
            random.choice(going).go()
        elif draw < 0.8 and self.inserts:
            self._move(random.choice(self.inserts))
        else:
            self.now_s += random.expovariate(1.0)
        self.commands = [c for c in self.commands if c.thread.is_alive()]

    def _move(self, insert: Insert) -> None:
        if insert.began_s is None:
            if self.now_s < insert.not_before_s:
                return
            if self.rules.late_rows_refused and int(self.now_s) > insert.until_s:
                self.inserts.remove(insert)
                insert.answer = "late"
            else:
                insert.began_s = self.now_s
        elif self.random.random() < insert.speed:
            self.inserts.remove(insert)
            insert.answer = "unknown"
            if self.now_s - insert.began_s <= RUN_LIMIT_S:
                self._commit(insert)

    def _commit(self, insert: Insert) -> None:
        insert.answer = "ok" if self.random.random() < 0.8 else "unknown"
        if insert.token in self.tokens:
            return
        self.tokens.add(insert.token)
        for place in insert.places:
            if place in self.rows:
                was = self.rows[place]
                raise Violation(f"{place} doubled by {insert.token}, there was {was}")
            self.rows[place] = insert.token

    def cancel(self) -> None:
        """KILL QUERY."""
        if self.rules.kills:
            for insert in [i for i in self.inserts if i.began_s is not None]:
                self.inserts.remove(insert)
                insert.answer = "unknown"


class Command:
    """A process that repairs."""

    _names = 0

    def __init__(self, world: World, *, patient: bool = False) -> None:
        """`patient`: repeats itself for ever."""
        Command._names += 1
        self.name = f"command {Command._names}"
        self.until_s = 0.0
        self._world = world
        self._patient = patient
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._killed = False
        self._failure: BaseException | None = None
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()

    # The scheduler's side.

    def goes(self, now_s: float) -> bool:
        """Whether it is neither stopped nor waiting."""
        return now_s >= self.until_s

    def go(self) -> None:
        """Let it run to its next request."""
        self._mine.release()
        self._theirs.acquire()
        if self._failure is not None:
            raise self._failure

    def kill(self) -> None:
        """It does nothing more."""
        if self.thread.is_alive():
            self._killed = True
            self._mine.release()
            self.thread.join()

    # The command's side.

    def _main(self) -> None:
        try:
            self._pause()
            again = True
            while again:
                with suppress(RefusedError, OutcomeUnknownError):
                    self._repair()
                again = self._patient
        except _Killed:
            return
        except BaseException as error:  # noqa: BLE001 - it is the scheduler's to raise
            self._failure = error
        self._theirs.release()

    def _pause(self) -> None:
        self._mine.acquire()
        if self._killed:
            raise _Killed

    def _yield(self) -> None:
        self._theirs.release()
        self._pause()

    def _wait(self, seconds: float) -> None:
        self.until_s = max(self.until_s, self._world.now_s + seconds)
        self._yield()

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """The clock is all that a lease asks for."""
        self._yield()
        return [(int(self._world.now_s * 1000),)]

    def _repair(self) -> None:
        world = self._world
        lease = world.rules.lease(
            _Log(self, world.lease, fences=world.rules.fences),
            self,
            Clock(lambda: world.now_s, self._wait),
            TERMS,
            holder=self.name,
            cancel=world.cancel,
            on_progress=lambda _: None,
        )
        there = set(world.rows)
        lease.take()
        start = world.random.randrange(3)
        while start < PLACES:
            end = min(PLACES, start + world.random.randint(1, 5))
            until_s = lease.until_s()
            self._yield()
            if world.rules.looks_with_lease:
                there = set(world.rows)
            self._yield()
            missing = tuple(place for place in range(start, end) if place not in there)
            if missing:
                self._insert(missing, until_s)
            start = end
        lease.give_back()

    def _insert(self, places: tuple[int, ...], until_s: int) -> None:
        world = self._world
        token = f"{places}:{until_s}"
        while True:
            delay_s = world.random.expovariate(1 / world.random.choice((0.1, 1, 15)))
            speed = world.random.choice((0.02, 0.3))
            insert = Insert(places, token, until_s, world.now_s + delay_s, speed)
            world.inserts.append(insert)
            gives_up_at_s = world.now_s + 5
            while insert.answer is None and world.now_s < gives_up_at_s:
                self._yield()
            if insert.answer == "ok":
                return
            if insert.answer == "late":
                raise RefusedError("too late")
            if world.now_s + 1 >= until_s:
                raise OutcomeUnknownError("no answer")


class _Log(MemoryLeaseLog):
    """The lease's log, a request at a time."""

    def __init__(self, command: Command, lease: MemoryLease, *, fences: bool) -> None:
        super().__init__(lease)
        self._command, self._fences = command, fences

    def declared(self) -> Declared | None:
        self._command._yield()
        return super().declared()

    def fence(self) -> None:
        self._command._yield()
        super().fence()

    def declare(self, declared: Declared) -> None:
        self._command._yield()
        if self._fences:
            super().declare(declared)
        else:
            self._lease.last = declared
