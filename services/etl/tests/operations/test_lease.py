"""The lease of the commands, step by step, on a clock of its own."""

import pytest
from ugc_etl.operations.lease import Lease, LeaseTerms
from ugc_etl.operations.memory import MemoryLease, MemoryLeaseLog
from ugc_etl.operations.ports import Declared
from ugc_etl.operations.rows_once import Clock
from ugc_etl.ports import OutcomeUnknownError, RefusedError

TERMS = LeaseTerms(deadline_s=60, fence_s=10)
BEGAN_S = 1_790_000_000


class World:
    """A clock that everybody has, and what happens at its times."""

    def __init__(self):
        self.now_s = float(BEGAN_S)
        self.lease = MemoryLease()
        self.events = []
        self.cancelled_at_s = []
        self.told = []

    def at(self, after_s, what):
        self.events.append((BEGAN_S + after_s, what))

    def wait(self, seconds):
        self.now_s += seconds
        for event in [e for e in self.events if e[0] <= self.now_s]:
            self.events.remove(event)
            event[1]()

    def execute(self, sql):
        assert "now64" in sql
        return [(int(self.now_s * 1000),)]

    def command(self, name, log=None):
        return Lease(
            log or MemoryLeaseLog(self.lease), self, Clock(lambda: self.now_s, self.wait), TERMS,
            holder=name, cancel=lambda: self.cancelled_at_s.append(self.now_s - BEGAN_S),
            on_progress=self.told.append,
        )  # fmt: skip


@pytest.fixture
def world():
    return World()


def test_the_first_one_need_not_wait_and_kills_what_runs(world):
    lease = world.command("one")
    lease.take()
    assert world.cancelled_at_s == [0]
    assert lease.until_s() == BEGAN_S + 60
    assert world.lease.last == Declared("one", BEGAN_S + 60)


def test_it_is_declared_anew_when_less_than_half_is_left(world):
    lease = world.command("one")
    lease.take()
    world.now_s += 0.5
    assert lease.until_s() == BEGAN_S + 60
    world.now_s += 29.5
    assert lease.until_s() == BEGAN_S + 60
    world.now_s += 0.5
    assert lease.until_s() == world.lease.last.until_s == BEGAN_S + 90


def test_after_a_dead_one_the_next_waits_until_neither_rows_nor_letters_can_come(world):
    dead = world.command("a dead one")
    dead.take()
    dead.until_s()
    world.command("two").take()
    assert 60 + 1 + 10 <= world.cancelled_at_s[1] <= 60 + 1 + 10 + 1
    assert world.told == ["inserts of a dead one may land for 71 s more: waiting"]
    with pytest.raises(RefusedError):
        dead.until_s()


def test_a_stopped_one_that_has_some_time_left_may_use_it_and_no_more(world):
    stopped = world.command("a stopped one")
    stopped.take()
    until_s = stopped.until_s()
    world.at(20, lambda: world.told.append(f"may send until {stopped.until_s() - BEGAN_S}"))
    world.command("two").take()
    assert "may send until 60" in world.told
    assert world.now_s > until_s + TERMS.fence_s


def test_one_at_work_is_left_alone(world):
    working = world.command("one")
    working.take()
    working.until_s()
    world.at(31, working.until_s)
    with pytest.raises(RefusedError, match="one is at work"):
        world.command("two").take()
    assert world.now_s - BEGAN_S < 32
    assert world.lease.epoch == 1
    world.now_s += 40
    assert working.until_s() > world.now_s


def test_one_that_is_through_is_not_waited_for(world):
    first = world.command("one")
    first.take()
    first.until_s()
    world.at(5, first.give_back)
    world.command("two").take()
    assert world.now_s - BEGAN_S < 6
    world.command("three").take()
    assert world.now_s - BEGAN_S < 6


def test_one_that_declared_nothing_gives_nothing_back(world):
    lease = world.command("one")
    lease.take()
    lease.give_back()
    assert world.lease.last is None


def test_one_that_is_through_when_another_takes_its_lease_has_not_failed(world):
    first, second = world.command("one"), world.command("two")
    first.take()
    first.until_s()
    world.now_s += 72
    second.take()
    second.until_s()
    first.give_back()
    assert "another command has taken the lease" in world.told[-1]
    assert world.lease.last.holder == "two"


def test_one_that_declared_between_the_look_and_the_fence_is_waited_for(world):
    class Late(MemoryLeaseLog):
        def fence(self):
            other = world.command("another")
            other.take()
            other.until_s()
            super().fence()

    world.command("two", Late(world.lease)).take()
    assert 71 <= world.cancelled_at_s[-1] <= 72
    assert world.told == ["inserts of another may land for 71 s more: waiting"]


def test_what_is_not_certain_is_asked_again_for_some_time(world):
    # A transaction of one that was killed: 10 s, and the broker looks every 10 s.
    class Uncertain(MemoryLeaseLog):
        certain_at_s = BEGAN_S + 21

        def declared(self):
            if world.now_s < self.certain_at_s:
                raise OutcomeUnknownError("a transaction is under way")
            return super().declared()

    world.command("one", Uncertain(world.lease)).take()
    assert 21 <= world.cancelled_at_s[0] < 22
    Uncertain.certain_at_s = BEGAN_S + 1000
    with pytest.raises(OutcomeUnknownError):
        world.command("two", Uncertain(world.lease)).take()
