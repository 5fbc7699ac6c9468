from collections.abc import Iterator
from threading import Event
from uuid import UUID

import pytest
from ugc_local.generator import Poison, Refusal, Request
from ugc_local.generator.pace import paced


class Clock(Event):
    """A clock that is put on by whoever waits for the event."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now_s += timeout
        return self.is_set()


def endless() -> Iterator[Request | Poison]:
    while True:
        yield Request(UUID(int=1), b"[]", ("a", "b"), again=False)
        yield Poison("topic", b"", None, (), Refusal("", "not_json"))


def test_events_come_at_their_rate_and_poison_is_none() -> None:
    clock = Clock()
    stream = paced(endless(), 4, stop=clock, clock=clock)
    at_s = [next(stream) and clock.now_s for _ in range(20)]
    assert at_s == pytest.approx([number // 2 * 0.5 + number % 2 * 0.5 for number in range(20)])


def test_after_a_hindrance_a_second_is_made_up_for_and_no_more() -> None:
    clock = Clock()
    stream = paced(endless(), 4, stop=clock, clock=clock)
    next(stream)
    clock.now_s += 100
    at_s = [next(stream) and clock.now_s for _ in range(20)]
    assert at_s.count(100.0) == 6  # half are poison: the events of a second, and those now due
    assert at_s[-1] == 103.5


def test_it_ends_when_it_is_stopped_without_taking_an_item_more() -> None:
    clock, taken = Clock(), []

    def counted() -> Iterator[Request | Poison]:
        for number, item in enumerate(endless()):
            taken.append(number)
            yield item

    stream = paced(counted(), 4, stop=clock, clock=clock)
    handed = [next(stream) for _ in range(3)]
    clock.set()
    assert list(stream) == []
    assert len(handed) == len(taken) == 3
