import threading
import time
from collections.abc import Callable, Iterator

import pytest
from ugc_api.auth import following
from ugc_api.auth.following import LOOK_AGAIN_S, Follower, KeySource
from ugc_api.auth.jose import Key, secret_keys


class File:
    """What a file holds, and what was told of its readings. `now_s` is the follower's clock."""

    def __init__(self, every_s: float = 0.01) -> None:
        self.text = b"a" * 32
        self.readings = 0
        self.now_s = 1000.0
        self.told: list[bool] = []
        self.blocked: threading.Event | None = None
        source = KeySource(name="FILE", read=self.read, every_s=every_s, shared=True)
        self.follower = Follower(
            source, lambda _, succeeded: self.told.append(succeeded), lambda: self.now_s
        )

    def read(self) -> list[Key]:
        if self.blocked is not None:
            self.blocked.wait(30)
        self.readings += 1
        return secret_keys(self.text)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a thread may take longer to read than anybody waits for it."""
    monkeypatch.setattr(following, "WAIT_S", 60.0)


@pytest.fixture
def file() -> Iterator[File]:
    file = File()
    file.follower.start()
    until(lambda: file.follower.problem is None)
    yield file
    file.follower.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def holds(file: File, text: bytes) -> bool:
    """Whether the follower has the keys of this text."""
    return [k.identity for k in file.follower.keys] == [k.identity for k in secret_keys(text)]


def again(file: File) -> None:
    """Wait for a reading that began after the call."""
    seen = file.readings
    until(lambda: file.readings >= seen + 2)


def test_before_it_starts_it_has_no_keys_and_says_why() -> None:
    follower = File().follower
    assert follower.keys == ()
    assert follower.problem == "the keys have not been read yet"


def test_it_reads_again_and_again_with_one_thread(file: File) -> None:
    threads = threading.active_count()
    for letter in (b"b", b"c", b"d", b"e"):
        file.text = letter * 32
        until(lambda: holds(file, file.text))
    again(file)
    assert threading.active_count() <= threads


def test_what_is_broken_is_said_once_and_changes_no_key(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    good = file.follower.keys
    file.text = b"short"
    until(lambda: file.told[-1] is False)
    assert file.follower.keys == good
    said = "the keys of FILE cannot be read: a secret of less than 32 bytes; the last good ones"
    assert [record.message for record in caplog.records] == [f"{said} stay in use: 1"]
    file.text = b"b" * 32
    until(lambda: file.told[-1] is True)
    assert file.follower.problem is None
    assert holds(file, file.text)


def test_a_look_that_is_not_due_reads_nothing() -> None:
    file = File(every_s=300)
    file.follower.start()
    until(lambda: file.told == [True])
    for _ in range(100):
        file.follower.look()
    assert file.readings == 1
    file.now_s += LOOK_AGAIN_S
    file.text = b"b" * 32
    file.follower.look()
    assert file.readings == 2
    assert holds(file, file.text)
    file.follower.close()


def test_who_waits_is_let_go_when_it_closes() -> None:
    file = File(every_s=300)
    file.follower.start()
    until(lambda: file.told == [True])
    file.blocked = threading.Event()
    file.now_s += LOOK_AGAIN_S
    waiting = [threading.Thread(target=file.follower.look) for _ in range(3)]
    closing = threading.Thread(target=file.follower.close)
    for thread in (*waiting, closing):
        thread.start()
    for thread in waiting:
        thread.join(30)
        assert not thread.is_alive()
    file.blocked.set()
    closing.join(30)
    assert not closing.is_alive()
    assert file.readings <= 2
