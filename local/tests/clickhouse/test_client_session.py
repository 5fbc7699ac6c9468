import threading

import pytest
from ugc_local.clickhouse.client_session import NamedSessions
from ugc_local.clickhouse.errors import QueryError


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Kept:
    is_open = True

    def close(self):
        self.is_open = False


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    return NamedSessions(clock)


def refused(sessions, *names, timeout_s=60, must_exist=False):
    with (
        pytest.raises(QueryError) as refusal,
        sessions.use(*names, timeout_s=timeout_s, must_exist=must_exist),
    ):
        pass
    return refusal.value.code


def test_a_session_lasts_until_it_is_idle_too_long(sessions, clock):
    kept = Kept()
    with sessions.use("ann", "a", timeout_s=10, must_exist=False) as first:
        first.kept = kept
    clock.now = 9.0
    sessions.end_idle()
    with sessions.use("ann", "a", timeout_s=10, must_exist=True) as again:
        assert again is first
        clock.now = 100.0
        sessions.end_idle()  # it is at work
    clock.now = 109.0
    sessions.end_idle()
    assert kept.is_open
    clock.now = 110.0
    sessions.end_idle()
    assert not kept.is_open
    assert refused(sessions, "ann", "a", must_exist=True) == 372


def test_one_query_at_a_time(sessions):
    with sessions.use("ann", "a", timeout_s=10, must_exist=False):
        assert refused(sessions, "ann", "a") == 373
        with sessions.use("ann", "b", timeout_s=10, must_exist=False):
            pass
    with sessions.use("ann", "a", timeout_s=10, must_exist=True):
        pass


def test_a_session_is_its_users(sessions):
    with sessions.use("ann", "a", timeout_s=10, must_exist=False):
        pass
    assert refused(sessions, "bob", "a", must_exist=True) == 372


def test_the_longest_time_out(sessions):
    assert refused(sessions, "ann", "a", timeout_s=3601) == 374


def test_a_failure_lets_go_of_it(sessions):
    with (
        pytest.raises(RuntimeError),
        sessions.use("ann", "a", timeout_s=10, must_exist=False),
    ):
        raise RuntimeError
    with sessions.use("ann", "a", timeout_s=10, must_exist=True):
        pass


def test_only_one_of_many_threads_gets_it(sessions):
    inside, codes, gate = [], [], threading.Barrier(8)
    done = threading.Event()

    def work():
        gate.wait(60)
        try:
            with sessions.use("ann", "a", timeout_s=10, must_exist=False):
                inside.append(1)
                done.wait(60)
        except QueryError as error:
            codes.append(error.code)
            if len(codes) == 7:
                done.set()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(inside), codes) == (1, [373] * 7)
