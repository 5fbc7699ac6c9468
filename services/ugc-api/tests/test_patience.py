from ugc_api.patience import Patience


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def waiting(limit: int, count: int) -> tuple[Patience, Clock]:
    clock = Clock()
    patience = Patience(limit, 1.0, clock)
    assert [patience.enter() for _ in range(count)] == [True] * count
    return patience, clock


def test_everybody_may_wait_while_acknowledgements_flow() -> None:
    patience, clock = waiting(limit=2, count=3)
    for _ in range(5):
        clock.now_s += 0.9
        patience.leave(acknowledged=True)
        assert patience.enter()
    assert not patience.leave_if_stalled()


def test_in_a_stall_the_limit_may_enter_and_no_more() -> None:
    patience, clock = waiting(limit=2, count=1)
    clock.now_s += 5
    assert patience.enter()
    assert not patience.enter()


def test_in_a_stall_those_above_the_limit_leave() -> None:
    patience, clock = waiting(limit=2, count=5)
    clock.now_s += 1
    assert [patience.leave_if_stalled() for _ in range(5)] == [True, True, True, False, False]


def test_one_acknowledgement_ends_the_stall() -> None:
    patience, clock = waiting(limit=1, count=2)
    clock.now_s += 5
    assert not patience.enter()
    patience.leave(acknowledged=True)
    assert patience.enter()
    assert not patience.leave_if_stalled()


def test_a_failure_does_not_end_the_stall() -> None:
    patience, clock = waiting(limit=1, count=2)
    clock.now_s += 5
    patience.leave(acknowledged=False)
    assert not patience.enter()


def test_idle_time_is_no_stall() -> None:
    patience, clock = waiting(limit=1, count=1)
    patience.leave(acknowledged=True)
    clock.now_s += 3600
    assert [patience.enter() for _ in range(3)] == [True, True, True]
