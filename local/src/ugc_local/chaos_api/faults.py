"""Every kind of fault, as entries of a table."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from random import Random

import psutil
from ugc_events import FAMILIES

from ugc_local.chaos.link import After
from ugc_local.chaos.scene import NoEffectError
from ugc_local.chaos.taps import Direction, Moment
from ugc_local.chaos.world import Store
from ugc_local.chaos_api.apps import Told
from ugc_local.chaos_api.world import World
from ugc_local.deadline import Deadline

# The tap calls a produce request by what an ETL process writes; the API writes events.
RECORDS_SENT, RECORDS_ACKNOWLEDGED = Moment.LETTER_SENT, Moment.LETTER_ANSWERED

_POLL_S = 0.05
_SLOW_S = 0.4
_HOLD_S = 0.3
_TORN_BYTES = 700
"""How much the broker's fullest log may still grow: less than the next batch."""


@dataclass(slots=True)
class Scene:
    """One fault's own view of the world.

    Attributes:
        chance: decides what the kind leaves open.
        cancelled: set when the run ends early; every wait ends then.
        undo: what takes the fault back; run in any case.
        broken: promises of the API that it did not keep, in words.
    """

    world: World
    told: Told
    chance: Random
    cancelled: threading.Event
    undo: ExitStack = field(default_factory=ExitStack)
    broken: list[str] = field(default_factory=list)

    def demand(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        """Poll until the condition holds. Raises NoEffectError when it does not in time."""
        wait = Deadline.after(within_s)
        if not wait.poll(lambda: self.cancelled.is_set() or condition(), interval_s=_POLL_S):
            raise NoEffectError(f"not within {within_s:.0f} s: {what}")
        if self.cancelled.is_set():
            raise NoEffectError("the run ended")

    def pass_time(self, seconds: float) -> None:
        """The fault lasts."""
        self.cancelled.wait(seconds)

    def demand_refusals(self) -> str:
        """Wait for a request that is answered 503, then a moment more; how many there were."""
        before = self.told.refused
        self.demand(lambda: self.told.refused > before, 3 * self.world.latest_s, "a 503")
        self.pass_time(2 * self.chance.random())
        return f"{self.told.refused - before} requests answered 503"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: as it is counted.
        how, undone: what is done, and how it is taken back, in words.
        do: does it, registers on `scene.undo` what takes it back, and returns the evidence that
            it had an effect. Raises NoEffectError.
        cuts_apps_off: whether apps may have to wait for longer than the API's deadline, because
            the API itself is away. Otherwise its process has to live through the fault.
    """

    name: str
    how: str
    undone: str
    do: Callable[[Scene], str]
    cuts_apps_off: bool = False


def _kill_broker(scene: Scene) -> str:
    store = scene.world.kafka
    scene.undo.callback(store.start_again)
    store.process.kill()
    return scene.demand_refusals()


def _kill_broker_shortly(scene: Scene) -> str:
    store, opened = scene.world.kafka, scene.world.broker_link.opened
    store.process.kill()
    store.start_again()
    scene.demand(lambda: scene.world.broker_link.opened > opened, 20, "the API connects again")
    return "the API has connected again"


def _stop_broker(scene: Scene) -> str:
    store = scene.world.kafka
    scene.undo.callback(store.start_again)
    store.signal(signal.SIGTERM)
    scene.demand(lambda: store.process.exit_status() is not None, 60, "the broker stops")
    return scene.demand_refusals()


def _freeze_broker(scene: Scene) -> str:
    store = scene.world.kafka
    scene.undo.callback(store.signal, signal.SIGCONT)
    store.signal(signal.SIGSTOP)
    return scene.demand_refusals()


def _cut_broker(scene: Scene) -> str:
    link, opened = scene.world.broker_link, scene.world.broker_link.opened
    count = link.down()
    link.up()
    scene.demand(lambda: link.opened > opened, 20, "the API connects again")
    return f"{count} connections reset"


def _lose_broker(scene: Scene) -> str:
    link = scene.world.broker_link
    scene.undo.callback(link.mend)
    link.down()
    return scene.demand_refusals()


def _mute_broker(directions: tuple[Direction, ...], scene: Scene) -> str:
    link = scene.world.broker_link
    scene.undo.callback(link.mend)
    link.hold(*directions)
    return scene.demand_refusals()


def _slow_broker(scene: Scene) -> str:
    link, before_s = scene.world.broker_link, scene.world.broker_link.held_up_s
    scene.undo.callback(link.mend)
    for direction in Direction:
        link.slow(direction, delay_s=_SLOW_S)
    scene.pass_time(2 + 2 * scene.chance.random())
    held_s = link.held_up_s - before_s
    if not held_s:
        raise NoEffectError("nothing passed")
    return f"requests and answers waited {held_s:.1f} s together"


def _refuse_records(setting: str, values: tuple[str, ...], scene: Scene) -> str:
    topic = scene.chance.choice(FAMILIES).topic_of("")
    value = scene.chance.choice(values)
    client, told = scene.world.client, scene.told
    in_part = told.in_part
    scene.undo.callback(client.configure_topic, topic, {setting: None})
    client.configure_topic(topic, {setting: value})
    words = scene.demand_refusals()
    scene.demand(lambda: told.in_part > in_part, 20, "a 207")
    return f"{topic}, {value}: {words}, {told.in_part - in_part} accepted in part"


def _fill_broker_disk(scene: Scene) -> str:
    store = scene.world.kafka
    scene.undo.callback(_lift_and_start_broker, store)
    # Kafka writes to its newest segments only; the limit is met by the fullest of them.
    largest = max(path.stat().st_size for path in scene.world.broker_data.glob("*/*.log"))
    _limit_files(store, largest + _TORN_BYTES)
    scene.demand(lambda: store.process.exit_status() is not None, 60, "the broker gives up")
    return f"status {store.process.exit_status()} of the broker, {scene.demand_refusals()}"


def _lift_and_start_broker(store: Store) -> None:
    if store.process.exit_status() is None:
        _limit_files(store, None)
        store.process.kill()
    store.start_again()


def _limit_files(store: Store, size_bytes: int | None) -> None:
    """No file of the store grows beyond that: its writes fail as on a full disk. Linux only."""
    if store.process.exit_status() is None:
        process = psutil.Process(store.process.pid)
        _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (hard if size_bytes is None else size_bytes, hard))


def _cut_at(moment: Moment, afters: tuple[After, ...], scene: Scene) -> str:
    frozen = scene.world.broker_link.break_at(moment)
    after = scene.chance.choice(afters)
    try:
        scene.demand(frozen.is_hit, 20, "records are sent")
    finally:
        frozen.release(after)
    return f"a produce request: {after.value}"


def _hold_acknowledgements(scene: Scene) -> None:
    """Let requests wait whose records Kafka has, so that the worst moment is not missed."""
    link = scene.world.broker_link
    scene.undo.callback(link.mend)
    link.hold(Direction.REPLIES)
    scene.pass_time(_HOLD_S)


def _kill_worker(scene: Scene) -> str:
    api, lost = scene.world.api, scene.told.without_answer
    before = api.worker()
    if before is None:
        raise NoEffectError("there is no worker")
    scene.undo.callback(api.wait_ready)
    _hold_acknowledgements(scene)
    os.kill(before.pid, signal.SIGKILL)
    scene.demand(lambda: scene.told.without_answer > lost, 20, "a request is lost")
    scene.demand(lambda: api.worker() not in {before, None}, 20, "another worker")
    return f"{scene.told.without_answer - lost} requests without an answer, another worker came"


def _kill_api(scene: Scene) -> str:
    lost = scene.told.without_answer
    scene.undo.callback(scene.world.api.start_again)
    _hold_acknowledgements(scene)
    scene.world.api.kill_all()
    scene.demand(lambda: scene.told.without_answer > lost, 20, "a request is lost")
    return f"{scene.told.without_answer - lost} requests without an answer"


def _terminate_api(scene: Scene) -> str:
    process, api = scene.world.api.process, scene.world.api
    scene.undo.callback(api.start_again)
    os.kill(process.pid, signal.SIGTERM)
    grace_s = scene.world.patience.stop_grace_s + scene.world.patience.margin_s
    if not Deadline.after(grace_s).poll(lambda: process.exit_status() is not None):
        scene.broken.append(f"the API has not ended {grace_s:.0f} s after SIGTERM")
        scene.world.api.kill_all()
    elif process.exit_status():
        scene.broken.append(f"the API ended with status {process.exit_status()} after SIGTERM")
    return "it ended"


def _kill_both(scene: Scene) -> str:
    scene.undo.callback(scene.world.api.start_again)
    scene.undo.callback(scene.world.kafka.start_again)
    scene.world.kafka.process.kill()
    words = scene.demand_refusals()
    scene.world.api.kill_all()
    return f"{words}, then the API was killed with what waited in it"


def _cut_apps(scene: Scene) -> str:
    link = scene.world.api.link
    scene.undo.callback(link.mend)
    count = link.down()
    scene.pass_time(scene.chance.random())
    if not count:
        raise NoEffectError("there was no connection")
    return f"{count} connections of apps reset"


def _table() -> Iterator[Kind]:
    def kind(
        name: str, how: str, undone: str, do: Callable[[Scene], str], *, cuts_apps_off: bool = False
    ) -> Kind:
        return Kind(name=name, how=how, undone=undone, do=do, cuts_apps_off=cuts_apps_off)

    again = "it is started again"
    passes = "everything passes"
    both, replies = tuple(Direction), (Direction.REPLIES,)
    yield kind(
        "broker killed", "SIGKILL to the broker, until requests are refused", again, _kill_broker
    )
    yield kind(
        "broker killed, back at once",
        "SIGKILL to the broker",
        "it is started at once",
        _kill_broker_shortly,
    )
    yield kind(
        "broker stopped", "SIGTERM to the broker, until requests are refused", again, _stop_broker
    )
    yield kind(
        "broker frozen",
        "SIGSTOP to the broker, until requests are refused",
        "SIGCONT",
        _freeze_broker,
    )
    yield kind(
        "connections to the broker cut", "all of them are reset", "new ones pass", _cut_broker
    )
    yield kind(
        "broker unreachable",
        "the same, and new ones too, until requests are refused",
        passes,
        _lose_broker,
    )
    yield kind(
        "broker silent",
        "nothing passes to or from it, until requests are refused",
        "what waited passes",
        partial(_mute_broker, both),
    )
    yield kind(
        "acknowledgements held back",
        "nothing passes from the broker, until requests are refused; it has the records",
        "what waited passes",
        partial(_mute_broker, replies),
    )
    yield kind(
        "broker slow", f"every piece to and from it passes {_SLOW_S} s later", passes, _slow_broker
    )
    yield kind(
        "too large for a topic",
        "`max.message.bytes` of one topic is 100 or 600: it refuses all batches, or the larger",
        "the setting is given back",
        partial(_refuse_records, "max.message.bytes", ("100", "600")),
    )
    yield kind(
        "too old for a topic",
        "`message.timestamp.before.max.ms` of one topic is 0: it refuses records of the past",
        "the setting is given back",
        partial(_refuse_records, "message.timestamp.before.max.ms", ("0",)),
    )
    if sys.platform == "linux":
        yield kind(
            "broker's disk full",
            "RLIMIT_FSIZE a little above its longest log: an append is torn, the broker gives up",
            "the limit is lifted and the broker started again",
            _fill_broker_disk,
        )
    yield kind(
        "records cut",
        "the connection is cut before the broker has a batch, or half of it",
        "new connections pass",
        partial(_cut_at, RECORDS_SENT, (After.CUT, After.HALF)),
    )
    yield kind(
        "acknowledgement cut",
        "the connection is cut when the broker has a batch and the API has not heard of it",
        "new connections pass",
        partial(_cut_at, RECORDS_ACKNOWLEDGED, (After.CUT, After.HALF)),
    )
    yield kind(
        "worker killed",
        "SIGKILL to gunicorn's worker, which waits for acknowledgements",
        "gunicorn starts another",
        _kill_worker,
        cuts_apps_off=True,
    )
    yield kind(
        "API killed",
        "SIGKILL to gunicorn and its worker, which waits for acknowledgements",
        again,
        _kill_api,
        cuts_apps_off=True,
    )
    yield kind(
        "API terminated",
        "SIGTERM to gunicorn: status 0 within its grace",
        again,
        _terminate_api,
        cuts_apps_off=True,
    )
    yield kind(
        "broker, then API killed",
        "SIGKILL to the broker, and to the API once requests wait for it",
        "both are started again",
        _kill_both,
        cuts_apps_off=True,
    )
    yield kind(
        "apps cut off",
        "all connections of apps are reset, new ones too, for up to 1 s",
        passes,
        _cut_apps,
        cuts_apps_off=True,
    )


KINDS: tuple[Kind, ...] = tuple(_table())
