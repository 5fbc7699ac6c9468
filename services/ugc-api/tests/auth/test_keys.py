import threading
import time
from collections.abc import Callable, Iterator

import pytest
from signers import jwk, jwks, private
from ugc_api.auth import following
from ugc_api.auth.following import LOOK_AGAIN_S, KeySource
from ugc_api.auth.jose import Header, Key, KeyMaterialError, jwks_keys, secret_key
from ugc_api.auth.keys import MAX_WAITING, KeyRing, KeySet


def key(kid: str | None, algorithm: str = "ES256") -> Key:
    (found,) = jwks_keys(jwks(jwk(private(algorithm, str(kid)), kid)))
    return found


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Source:
    """Gives what it is told to, and counts."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)
        self.error: OSError | KeyMaterialError | None = None
        self.readings = 0
        self.open = threading.Event()
        self.open.set()

    def __call__(self) -> list[Key]:
        assert self.open.wait(10)
        self.readings += 1
        if self.error is not None:
            raise self.error
        return list(self.keys)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a thread may take longer to read than anybody waits for it."""
    monkeypatch.setattr(following, "WAIT_S", 30.0)


@pytest.fixture
def ring_of() -> Iterator[Callable[..., tuple[KeyRing, Clock]]]:
    rings: list[KeyRing] = []

    def make(source: Source, *fixed: Key, every_s: float = 300) -> tuple[KeyRing, Clock]:
        clock = Clock()
        followed = KeySource(name="SOURCE", read=source, every_s=every_s)
        ring = KeyRing(fixed, [followed], monotonic=clock)
        rings.append(ring)
        return ring, clock

    yield make
    for ring in rings:
        ring.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def names(keys: KeySet) -> set[str]:
    return {name for name in ("a", "b", "c") if keys.knows(name)}


def test_a_name_finds_its_key_and_no_other() -> None:
    keys = KeySet([key("a"), key("b"), key("e", "EdDSA")])
    assert [k.kid for k in keys.fitting(Header("ES256", "b"))] == ["b"]
    assert keys.fitting(Header("EdDSA", "b")) == []
    assert keys.fitting(Header("ES256", "x")) == []


def test_without_a_name_only_the_single_key_of_an_algorithm_fits() -> None:
    keys = KeySet([key("a"), key("b"), key("e", "EdDSA"), secret_key(b"s" * 32)])
    assert keys.fitting(Header("ES256", None)) == []
    assert [k.kid for k in keys.fitting(Header("EdDSA", None))] == ["e"]
    assert [k.algorithm for k in keys.fitting(Header("HS256", "any"))] == ["HS256"]


def test_a_ring_without_a_source_is_ready_and_never_looks() -> None:
    ring = KeyRing([secret_key(b"s" * 32)])
    assert ring.not_ready() is None
    assert ring.look_for(Header("ES256", "x")) is ring.current
    ring.close()


def test_it_is_not_ready_before_the_first_keys(
    ring_of: Callable[..., tuple[KeyRing, Clock]],
) -> None:
    source = Source(key("a"))
    source.open.clear()
    ring, _ = ring_of(source)
    assert ring.not_ready() == "the keys have not been read yet"
    source.open.set()
    until(lambda: ring.not_ready() is None)
    assert names(ring.current) == {"a"}


def test_an_unknown_name_finds_the_new_key(ring_of: Callable[..., tuple[KeyRing, Clock]]) -> None:
    source = Source(key("a"))
    ring, clock = ring_of(source)
    until(lambda: ring.not_ready() is None)
    source.keys = [key("b")]
    clock.now_s += LOOK_AGAIN_S
    found = ring.look_for(Header("ES256", "b"))
    assert names(found) == {"b"}
    assert found is ring.current


def test_unknown_names_do_not_make_it_read_more_often(
    ring_of: Callable[..., tuple[KeyRing, Clock]],
) -> None:
    source = Source(key("a"))
    ring, clock = ring_of(source)
    until(lambda: ring.not_ready() is None)
    for n in range(1000):
        ring.look_for(Header("ES256", f"x{n}"))
    assert source.readings == 1
    clock.now_s += LOOK_AGAIN_S
    for n in range(1000):
        ring.look_for(Header("ES256", f"y{n}"))
    assert source.readings == 2
    for header in (Header("HS256", "x"), Header("ES256", None), Header("ES256", "a")):
        clock.now_s += LOOK_AGAIN_S
        ring.look_for(header)
    assert source.readings == 2


def test_few_wait_for_a_slow_source(ring_of: Callable[..., tuple[KeyRing, Clock]]) -> None:
    source = Source(key("a"))
    ring, clock = ring_of(source)
    until(lambda: ring.not_ready() is None)
    clock.now_s += LOOK_AGAIN_S
    source.open.clear()
    source.keys.append(key("b"))
    found: list[set[str]] = []
    threads = [
        threading.Thread(target=lambda: found.append(names(ring.look_for(Header("ES256", "b")))))
        for _ in range(MAX_WAITING + 3)
    ]
    for thread in threads:
        thread.start()
    until(lambda: len(found) == 3)
    assert found == [{"a"}] * 3
    source.open.set()
    for thread in threads:
        thread.join(10)
    assert found[3:] == [{"a", "b"}] * MAX_WAITING
    assert source.readings == 2


def test_the_last_good_keys_stay_while_the_source_fails(
    ring_of: Callable[..., tuple[KeyRing, Clock]], caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(key("a"))
    ring, clock = ring_of(source)
    until(lambda: ring.not_ready() is None)
    before = ring.current
    for error in (OSError("gone"), KeyMaterialError("garbage")):
        source.error = error
        clock.now_s += LOOK_AGAIN_S
        assert ring.look_for(Header("ES256", "b")) is before
    assert ring.not_ready() is None
    assert "SOURCE cannot be read: gone; the last good ones stay in use: 1" in caplog.text
    source.error, source.keys = None, [key("b")]
    clock.now_s += LOOK_AGAIN_S
    assert names(ring.look_for(Header("ES256", "b"))) == {"b"}


def test_the_same_keys_again_are_the_same_set(
    ring_of: Callable[..., tuple[KeyRing, Clock]],
) -> None:
    source = Source(key("a"), key("b"))
    ring, clock = ring_of(source)
    until(lambda: ring.not_ready() is None)
    before = ring.current
    source.keys.reverse()
    clock.now_s += LOOK_AGAIN_S
    assert ring.look_for(Header("ES256", "x")) is before
    assert source.readings == 2


def test_a_withdrawn_key_goes_without_anybody_asking(
    ring_of: Callable[..., tuple[KeyRing, Clock]],
) -> None:
    source = Source(key("a"), key("b"))
    ring, _ = ring_of(source, every_s=0.01)
    until(lambda: names(ring.current) == {"a", "b"})
    source.keys.pop()
    until(lambda: names(ring.current) == {"a"})


@pytest.fixture
def two() -> Iterator[tuple[KeyRing, Source, Source, Clock]]:
    """A ring, its public and its shared source, and the clock."""
    public, shared, clock = Source(key("a")), Source(secret_key(b"s" * 32, "s")), Clock()
    ring = KeyRing(
        (),
        [
            KeySource(name="PUBLIC", read=public, every_s=300),
            KeySource(name="SHARED", read=shared, every_s=300, shared=True),
        ],
        monotonic=clock,
    )
    until(lambda: len(ring.current) == 2)
    yield ring, public, shared, clock
    public.open.set()
    ring.close()


def test_an_unknown_name_is_looked_for_where_it_can_be(
    two: tuple[KeyRing, Source, Source, Clock],
) -> None:
    ring, public, shared, clock = two
    clock.now_s += LOOK_AGAIN_S
    shared.keys.append(secret_key(b"t" * 32, "t"))
    assert ring.look_for(Header("HS256", "t")).knows("t")
    assert (public.readings, shared.readings) == (1, 2)
    ring.look_for(Header("ES256", "x"))
    assert (public.readings, shared.readings) == (2, 2)


def test_a_slow_source_holds_up_no_other(two: tuple[KeyRing, Source, Source, Clock]) -> None:
    ring, public, shared, clock = two
    public.open.clear()
    clock.now_s += LOOK_AGAIN_S
    slow = threading.Thread(target=ring.look_for, args=(Header("ES256", "x"),))
    slow.start()
    shared.keys = [secret_key(b"t" * 32, "t")]
    assert ring.look_for(Header("HS256", "t")).knows("t")
    public.open.set()
    slow.join(10)
    assert names(ring.current) == {"a"}
    assert not ring.current.knows("s")


def test_a_source_that_fails_keeps_its_keys_and_the_others_change_theirs(
    two: tuple[KeyRing, Source, Source, Clock],
) -> None:
    ring, public, shared, clock = two
    public.error, shared.keys = OSError("gone"), [secret_key(b"t" * 32, "t")]
    clock.now_s += LOOK_AGAIN_S
    ring.look_for(Header("ES256", "x"))
    ring.look_for(Header("HS256", "t"))
    assert public.readings == 2
    assert names(ring.current) == {"a"}
    assert ring.current.knows("t")
    assert not ring.current.knows("s")


def test_two_secrets_are_two_keys() -> None:
    one, other = secret_key(b"s" * 32), secret_key(b"t" * 32)
    assert KeySet([one]).identity != KeySet([other]).identity
    assert KeySet([one]).identity == KeySet([secret_key(b"s" * 32)]).identity
    assert KeySet([one, other]).fitting(Header("HS256", None)) == [one, other]
    assert KeySet([one, other]).fitting(Header("HS256", "any")) == [one, other]


def test_fixed_keys_stay_beside_the_source(ring_of: Callable[..., tuple[KeyRing, Clock]]) -> None:
    source = Source()
    source.error = OSError("gone")
    ring, _ = ring_of(source, secret_key(b"s" * 32))
    assert ring.not_ready() is None
    until(lambda: source.readings == 1)
    assert len(ring.current) == 1
