"""Faults of the stores: killed, frozen, out of disk."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import psutil
from ugc_events import FAMILIES

from ugc_local.chaos.kind import Kind, Part, all_are_ready, consumer_runs
from ugc_local.chaos.link import After
from ugc_local.chaos.scene import Scene
from ugc_local.chaos.taps import Moment
from ugc_local.chaos.world import Store, World

_MORE_THAN_ANY_DISK_BYTES = 10**15
_TORN_BYTES = 700
"""How much the broker's fullest log may still grow: less than the next batch."""


def _kill_broker(scene: Scene) -> str:
    store = scene.world.kafka
    open_links = sum(consumer.kafka.connections for consumer in scene.world.consumers)
    scene.undo.callback(store.start_again)
    store.process.kill()
    waiting = scene.load.waiting
    scene.demand(lambda: scene.load.waiting > waiting, 10, "records wait for the broker")
    return f"{open_links} connections of consumers lost, {scene.load.waiting} records waited"


def _kill_clickhouse_at(moment: Moment, afters: tuple[After, ...], scene: Scene) -> str:
    store, after = scene.world.clickhouse, scene.chance.choice(afters)
    with scene.frozen_at(moment) as frozen:
        scene.undo.callback(store.start_again)
        if after is After.HALF:
            frozen.release(after)
        store.process.kill()
        frozen.release(After.CUT)
    return f"{scene.consumer.name}: {moment.value}"


def _freeze_clickhouse(scene: Scene) -> str:
    store, link = scene.world.clickhouse, scene.consumer.clickhouse
    scene.undo.callback(store.signal, signal.SIGCONT)
    with scene.frozen_at(Moment.INSERT_SENT) as frozen:
        store.signal(signal.SIGSTOP)
        frozen.release(After.GO_ON)
        opened = link.opened
        scene.pass_time(scene.timing.insert_timeout_s)
        scene.demand(lambda: link.opened > opened, scene.patience_s, "the consumer tries again")
    return f"{scene.consumer.name} gave up an insert that ClickHouse then took, and tried again"


def _freeze_broker(scene: Scene) -> str:
    store = scene.world.kafka
    scene.undo.callback(store.signal, signal.SIGCONT)
    store.signal(signal.SIGSTOP)
    seconds = scene.timing.session_s * (0.5 + scene.chance.random())
    waiting = scene.load.waiting
    scene.pass_time(seconds)
    scene.demand(lambda: scene.load.waiting > waiting, 5, "records wait for the broker")
    return f"{seconds:.1f} s; {scene.load.waiting} records waited"


def _fill_clickhouse_disk(tables: Sequence[str], scene: Scene) -> str:
    refused = _refused(scene.world)
    for table in tables:
        scene.undo.callback(_demand_free_bytes, scene.world, table, None)
        _demand_free_bytes(scene.world, table, _MORE_THAN_ANY_DISK_BYTES)
    scene.demand(lambda: _refused(scene.world) > refused, scene.patience_s, "inserts are refused")
    scene.pass_time(1 + 2 * scene.chance.random())
    return f"{_refused(scene.world) - refused} inserts refused"


def _demand_free_bytes(world: World, table: str, free_bytes: int | None) -> None:
    """ClickHouse refuses an insert, as for a full disk, where less is free.

    Not a disk that is full: the engine of the embedded server acknowledges inserts whose writes
    fail. A disk that is full before an insert gives the same answer as this, NOT_ENOUGH_SPACE.
    """
    name = "min_free_disk_bytes_to_perform_insert"
    what = (
        f"RESET SETTING {name}" if free_bytes is None else f"MODIFY SETTING {name} = {free_bytes}"
    )
    world.admin.execute(f"ALTER TABLE ugc.{table} {what}")


def _fill_broker_disk(scene: Scene) -> str:
    store = scene.world.kafka
    scene.undo.callback(_lift_and_start_broker, store)
    # Kafka writes to its newest segments only; the limit is met by the fullest of them.
    data = scene.world.directory / "kafka" / "data"
    largest = max(path.stat().st_size for path in data.glob("*/*.log"))
    _limit_files(store, largest + _TORN_BYTES)
    scene.demand(
        lambda: store.process.exit_status() is not None, scene.patience_s, "the broker gives up"
    )
    return f"the broker ended with status {store.process.exit_status()}"


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


def _refused(world: World) -> int:
    moment = Moment.INSERT_REFUSED
    return sum(consumer.clickhouse.passed[moment] for consumer in world.consumers)


def _table() -> Iterator[Kind]:
    broker = frozenset({Part.BROKER})
    clickhouse = frozenset({Part.CLICKHOUSE, Part.CONSUMER})

    def store(
        name: str, how: str, undone: str, parts: frozenset[Part], do: Callable[[Scene], str]
    ) -> Kind:
        return Kind(
            name=name,
            how=how,
            undone=undone,
            afterwards="it answers, and all consumers are ready",
            parts=parts,
            do=do,
            holds=all_are_ready,
            needs=consumer_runs,
        )

    yield store(
        "broker killed", "SIGKILL to the broker", "it is started again", broker, _kill_broker
    )
    yield store(
        "broker frozen",
        "SIGSTOP to the broker, for about a session",
        "SIGCONT",
        broker,
        _freeze_broker,
    )
    yield store(
        "ClickHouse killed, insert sent",
        "SIGKILL to ClickHouse when it has none, or half, of an insert's rows",
        "it is started again",
        clickhouse,
        partial(_kill_clickhouse_at, Moment.INSERT_SENT, (After.CUT, After.HALF)),
    )
    yield store(
        "ClickHouse killed, insert answered",
        "SIGKILL to ClickHouse when it has committed an insert, whose answer is lost",
        "it is started again",
        clickhouse,
        partial(_kill_clickhouse_at, Moment.INSERT_ANSWERED, (After.CUT,)),
    )
    yield store(
        "ClickHouse frozen",
        "SIGSTOP to ClickHouse with an insert in flight, past the insert's time-out",
        "SIGCONT",
        clickhouse,
        _freeze_clickhouse,
    )
    yield store(
        "ClickHouse's disk full",
        "the raw tables demand more free disk than there is: inserts are refused",
        "they demand none",
        clickhouse,
        partial(_fill_clickhouse_disk, [family.table for family in FAMILIES]),
    )
    yield store(
        "ClickHouse's disk full, for a mart",
        "the same of one mart: an insert is refused when its rows are in the raw table",
        "it demands none",
        clickhouse,
        partial(_fill_clickhouse_disk, ["viewings"]),
    )
    if sys.platform == "linux":
        yield store(
            "broker's disk full",
            "RLIMIT_FSIZE a little above its longest log: an append is torn, the broker gives up",
            "the limit is lifted and the broker started again",
            broker,
            _fill_broker_disk,
        )


STORE_FAULTS: tuple[Kind, ...] = tuple(_table())
