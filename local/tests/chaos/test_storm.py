import threading
import time
from itertools import cycle
from types import SimpleNamespace

import pytest
from ugc_local.chaos.kind import Kind, Part
from ugc_local.chaos.scene import NoEffectError
from ugc_local.chaos.storm import Storm, StormError
from ugc_local.chaos.world import Timing
from ugc_local.stores import NotReadyError

CONSUMER, BROKER = frozenset({Part.CONSUMER}), frozenset({Part.BROKER})


class Place:
    """A place for a consumer that runs and is ready."""

    def __init__(self, name):
        self.name = name
        self.befallen = False
        self.mended = 0
        self.ends = False
        self.ended_by_itself = []

    def runs(self):
        return True

    def mend(self):
        self.mended += 1
        if self.ends:
            self.ended_by_itself.append(f"{self.name}: status 1.")
        return self.ends


class Server:
    name = "a store"

    def __init__(self):
        self.status = None
        self.process = self

    def exit_status(self):
        return self.status

    def last_words(self):
        return "Its last words."


def world(places=3, ready_s=5.0):
    return SimpleNamespace(
        consumers=[Place(f"etl-{number}") for number in range(places)],
        timing=Timing(ready_s=ready_s),
        kafka=Server(),
        clickhouse=Server(),
    )


def kind(name, do, *, parts=CONSUMER, holds=lambda _: True, needs=lambda _: True):
    return Kind(
        name=name, how="", undone="", afterwards="it is well",
        parts=parts, do=do, holds=holds, needs=needs,
    )  # fmt: skip


def rage(ground, *kinds, faults, seed=1):
    storm = Storm(ground, None, kinds=cycle(kinds), seed=seed, now_s=time.monotonic, pause_s=0)
    try:
        storm.rage(faults)
    finally:
        ground.records = storm.records
    return storm.records


def test_only_faults_with_an_effect_count_and_all_are_taken_back():
    undone = []

    def fails_every_other_time(scene):
        scene.undo.callback(undone.append, scene.consumer.name)
        if len(undone) % 2 == 0:
            raise NoEffectError("nothing came of it")
        return "an effect"

    records = rage(world(), kind("odd", fails_every_other_time), faults=3)
    assert sum(record.counts for record in records) == 3
    assert len(undone) == len(records) > 3
    assert {record.why_not for record in records if not record.counts} == {"nothing came of it"}
    assert all(record.undone_s >= record.began_s for record in records)


def test_faults_overlap_but_never_in_the_same_part_and_one_consumer_is_left_alone():
    ground = world()
    lock, now, seen = threading.Lock(), [], []

    def lasts(scene):
        with lock:
            now.append(scene.consumer.name)
            seen.append(list(now))
        time.sleep(0.1)
        with lock:
            now.remove(scene.consumer.name)
        return "it lasted"

    brokers = []

    def broker(scene):
        brokers.append(1)
        assert brokers.count(1) == 1
        time.sleep(0.1)
        brokers.remove(1)
        return "it lasted"

    rage(ground, kind("consumer", lasts), kind("broker", broker, parts=BROKER), faults=10)
    assert all(len(names) == len(set(names)) <= 2 for names in seen)
    assert not any(place.befallen for place in ground.consumers)
    assert all(place.mended for place in ground.consumers)


def test_faults_come_alone_and_only_when_they_may():
    ground, now, asked = world(), [], []

    def lasts(scene):
        now.append(scene.consumer.name)
        assert len(now) == 1
        time.sleep(0.05)
        now.clear()
        return "it lasted"

    def may_begin():
        assert not now
        asked.append(len(asked) % 2 == 1)
        return asked[-1]

    storm = Storm(
        ground, None, kinds=cycle([kind("lasts", lasts)]), seed=1, now_s=time.monotonic,
        at_once=1, may_begin=may_begin, pause_s=0,
    )  # fmt: skip
    storm.rage(4)
    assert asked.count(True) == len(storm.records) == 4


def test_what_does_not_come_true_afterwards_ends_the_run():
    ground = world(ready_s=0.2)
    with pytest.raises(StormError, match=r"after “stuck” \(etl-\d\) not true: it is well"):
        rage(ground, kind("stuck", lambda _: "an effect", holds=lambda _: False), faults=1)
    assert len(ground.records) == 1


def test_faults_that_never_have_an_effect_end_the_run():
    def nothing(_):
        raise NoEffectError("nothing")

    with pytest.raises(StormError, match="13 faults, and 1 still to come"):
        rage(world(), kind("void", nothing), faults=1)


def test_a_store_that_ends_by_itself_ends_the_run():
    ground = world()
    ground.clickhouse.status = 137
    with pytest.raises(StormError, match=r"a store ended by itself, status 137\. Its last words\."):
        rage(ground, kind("any", lambda _: "an effect"), faults=1)


def test_a_consumer_that_ends_again_and_again_ends_the_run():
    ground = world()
    ground.consumers[1].ends = True
    with pytest.raises(StormError, match=r"again and again: etl-1: status 1\."):
        rage(ground, kind("never", lambda _: "", needs=lambda _: False), faults=1)


def test_a_run_that_ends_early_waits_for_no_fault():
    ground = world()

    def lasts(scene):
        ground.clickhouse.status = 1
        scene.demand(lambda: False, 600, "never")

    with pytest.raises(StormError, match="a store ended by itself"):
        rage(ground, kind("long", lasts), faults=1)
    assert [record.why_not for record in ground.records] == ["the run ended"]


def test_a_store_that_does_not_come_back_ends_the_run():
    def never_ready(scene):
        raise NotReadyError("the broker runs but was not ready in time.")

    with pytest.raises(StormError, match=r"“restarted” \(etl-\d\): the broker runs but was not"):
        rage(world(), kind("restarted", never_ready), faults=1)


def test_a_kind_waits_until_it_can_be_done():
    ground = world()
    ground.open = False

    def opens(_):
        ground.open = True
        return "open"

    records = rage(
        ground,
        kind("later", lambda _: "done", needs=lambda _: ground.open),
        kind("opens", opens),
        faults=4,
    )
    assert records[0].kind == "opens"
    assert "later" in {record.kind for record in records}


def test_kinds_that_wait_for_another_do_not_stop_the_run():
    free = []

    def leaves(_scene):
        free.append(1)
        return "it left"

    waits = kind("joins", lambda _: "it joined", needs=lambda _: bool(free))
    records = rage(world(), *[waits] * 20, kind("leaves", leaves), faults=3)
    assert records[0].kind == "leaves"
    assert {record.kind for record in records[1:]} == {"joins"}


def test_kinds_that_can_never_be_done_end_the_run(monkeypatch):
    monkeypatch.setattr("ugc_local.chaos.storm._MOST_WAITING", 10)
    never = kind("never", lambda _: "an effect", needs=lambda _: False)
    with pytest.raises(StormError, match="none of these can be done: never"):
        rage(world(), never, faults=1)
