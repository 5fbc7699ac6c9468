import threading
import time
from collections.abc import Callable
from contextvars import ContextVar

import pytest
from ugc_api.turns import Signal, Turns

LONG_S = 60.0


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def until(condition: Callable[[], bool], turns: Turns) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come true in time"
        time.sleep(turns.pause_s(0.01))
        turns.resume()


def test_a_turn_that_waits_lets_others_go_on() -> None:
    turns, told, signals = Turns(), [], {}

    def handle(name: object) -> None:
        signals[name] = turns.signal()
        told.append(f"{name} waits")
        told.append(f"{name}: {signals[name].wait(LONG_S)}")

    turns.begin(handle, "first")
    turns.begin(handle, "second")
    signals["second"].set()
    turns.resume()
    assert told == ["first waits", "second waits", "second: True"]
    signals["first"].set()
    turns.resume()
    assert told[3:] == ["first: True"]


def test_waiting_ends_with_its_time_and_a_late_signal_disturbs_nobody() -> None:
    clock = Clock()
    turns, told = Turns(clock), []
    made: list[Signal] = []

    def handle(_: object) -> None:
        for _turn in range(2):
            made.append(turns.signal())
            told.append(made[-1].wait(5.0))

    turns.begin(handle, None)
    clock.now_s += 4.9
    turns.resume()
    assert told == []
    clock.now_s += 0.2
    turns.resume()
    assert told == [False]
    made[0].set()
    turns.resume()
    assert told == [False]
    made[1].set()
    turns.resume()
    assert told == [False, True]


def test_what_has_happened_is_not_waited_for() -> None:
    turns, told = Turns(), []

    def handle(_: object) -> None:
        signal = turns.signal()
        signal.set()
        told.append(signal.wait(LONG_S))

    turns.begin(handle, None)
    assert told == [True]
    turns.resume()
    assert told == [True]


def test_sources_are_asked_in_each_round_and_what_they_tell_is_taken_up_in_it() -> None:
    turns, told = Turns(), []
    waited: list[Signal] = []
    turns.ask(lambda: [signal.set() for signal in waited])

    def handle(_: object) -> None:
        signal = turns.signal()
        waited.append(signal)
        told.append(signal.wait(LONG_S))

    turns.begin(handle, None)
    turns.resume()
    assert told == [True]


def test_the_loop_sleeps_as_long_as_it_likes_unless_somebody_waits() -> None:
    clock = Clock()
    turns = Turns(clock)
    assert turns.pause_s(1.0) == 1.0
    turns.begin(lambda _: turns.signal().wait(LONG_S), None)
    assert turns.pause_s(1.0) == 0.001
    clock.now_s += 1
    assert turns.pause_s(1.0) == 0.016
    assert turns.pause_s(0.01) == 0.01


def test_outside_of_turns_a_thread_waits() -> None:
    turns = Turns()
    assert not turns.now()
    signal = turns.signal()
    assert not signal.wait(0.01)
    threading.Thread(target=signal.set).start()
    assert signal.wait(LONG_S)


def test_what_may_take_long_is_done_in_another_thread_while_others_go_on() -> None:
    turns, told = Turns(), []
    go_on = threading.Event()

    def slow() -> int:
        assert go_on.wait(LONG_S)
        return threading.get_ident()

    turns.begin(lambda _: told.append(turns.elsewhere(slow)), None)
    turns.begin(lambda _: told.append(0), None)
    assert told == [0]
    go_on.set()
    until(lambda: len(told) == 2, turns)
    assert told[1] != threading.get_ident()


def test_an_error_of_what_was_done_elsewhere_is_raised_where_it_was_asked_for() -> None:
    turns, told = Turns(), []

    def fails() -> None:
        raise ValueError("no")

    def handle(_: object) -> None:
        with pytest.raises(ValueError, match="no"):
            turns.elsewhere(fails)
        told.append("raised")

    turns.begin(handle, None)
    until(lambda: bool(told), turns)
    with pytest.raises(ValueError, match="no"):
        turns.elsewhere(fails)


def test_without_turns_nothing_is_done_elsewhere() -> None:
    assert Turns().elsewhere(threading.get_ident) == threading.get_ident()


def test_each_turn_has_its_own_context() -> None:
    turns, told = Turns(), []
    of: ContextVar[object] = ContextVar("of", default=None)
    signals = []

    def handle(name: object) -> None:
        told.append(of.get())
        of.set(name)
        signals.append(turns.signal())
        signals[-1].wait(LONG_S)
        told.append(of.get())

    turns.begin(handle, 1)
    turns.begin(handle, 2)
    for signal in signals:
        signal.set()
    turns.resume()
    assert told == [None, None, 1, 2]
    assert of.get() is None
