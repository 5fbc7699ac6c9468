"""Faults of the ETL processes: killed, stopped and continued, added and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ugc_local.chaos.kind import (
    Kind,
    Part,
    all_are_ready,
    another_runs,
    consumer_is_ready,
    consumer_runs,
)
from ugc_local.chaos.link import After
from ugc_local.chaos.scene import Scene
from ugc_local.chaos.taps import Moment

_MAY_BE_LATE = frozenset({Moment.INSERT_SENT, Moment.LETTER_SENT})
_HEARTBEAT_S = 1.2
"""Within this a member hears that its group rebalances."""
_MOMENTS = {
    Moment.INSERT_SENT: "with rows on their way",
    Moment.INSERT_ANSWERED: "before it hears that its rows are in",
    Moment.COMMIT_SENT: "with a commit on its way",
    Moment.COMMIT_ANSWERED: "before it hears that its commit is done",
    Moment.LETTER_SENT: "with a dead letter on its way",
}


def _kill(scene: Scene) -> str:
    owned = scene.owned()
    scene.kill_process()
    return f"{scene.consumer.name} owned {owned} partitions"


def _kill_at(moment: Moment, scene: Scene) -> str:
    with scene.frozen_at(moment) as frozen:
        scene.kill_process()
        frozen.release(After.CUT)
    if scene.others() and scene.chance.random() < 0.5:
        scene.wait_until_replaced()
        return f"{scene.consumer.name}: {moment.value}; others took its partitions"
    return f"{scene.consumer.name}: {moment.value}; started again at once"


def _kill_and_deliver_late(scene: Scene) -> str:
    with scene.frozen_at(Moment.INSERT_SENT) as frozen:
        scene.kill_process()
        scene.wait_until_replaced()
        frozen.release(After.GO_ON)
    return f"rows of {scene.consumer.name} arrived when others owned its partitions"


def _stop(scene: Scene) -> str:
    owned = scene.owned()
    scene.stop_process()
    scene.wait_until_replaced()
    return f"others took the {owned} partitions of {scene.consumer.name}"


def _stop_at(moment: Moment, scene: Scene) -> str:
    """A request arrives while it is stopped, or long after; an answer waits for it."""
    with scene.frozen_at(moment) as frozen:
        scene.stop_process()
        late = moment in _MAY_BE_LATE and scene.chance.random() < 0.5
        if not late:
            frozen.release(After.GO_ON)
        scene.wait_until_replaced()
        frozen.release(After.GO_ON)
    passed = "passed when others had taken" if late else "passed before others took"
    return f"{scene.consumer.name}: {moment.value}; it {passed} its partitions"


def _join(scene: Scene) -> str:
    scene.consumer.start()
    scene.demand(scene.consumer.owns_some, scene.timing.ready_s, "the new one owns some")
    return f"{scene.consumer.name} joined and owns {scene.consumer.partitions()} partitions"


def _leave(scene: Scene) -> str:
    owned = scene.owned()
    status = scene.consumer.leave(scene.patience_s)
    if status:
        scene.consumer.ended_by_itself.append(f"{scene.consumer.name}: status {status} at SIGTERM")
    scene.wait_until_replaced()
    return f"{scene.consumer.name} left {owned} partitions, with status {status}"


def _join_in_insert(scene: Scene) -> str:
    newcomer = next(other for other in scene.world.consumers if other.is_free)
    scene.claim(newcomer)
    with scene.frozen_at(Moment.INSERT_ANSWERED) as frozen:
        joins = scene.joins()
        newcomer.start()
        scene.wait_until_rebalancing(joins)
        scene.pass_time(_HEARTBEAT_S)
        frozen.release(After.GO_ON)
    scene.demand(newcomer.owns_some, scene.timing.ready_s, "the new one owns some")
    return f"{newcomer.name} joined while an insert of {scene.consumer.name} was in flight"


def _leave_in_insert(scene: Scene) -> str:
    leaver = scene.chance.choice([other for other in scene.others() if not other.befallen])
    scene.claim(leaver)
    scene.undo.callback(leaver.start)
    with scene.frozen_at(Moment.INSERT_SENT) as frozen:
        joins = scene.joins()
        leaver.leave(scene.patience_s)
        scene.wait_until_rebalancing(joins)
        scene.pass_time(_HEARTBEAT_S)
        frozen.release(After.GO_ON)
    return f"{leaver.name} left while an insert of {scene.consumer.name} was in flight"


def _a_place_is_free(scene: Scene) -> bool:
    return consumer_runs(scene) and any(other.is_free for other in scene.world.consumers)


def _two_others_run(scene: Scene) -> bool:
    others = [other for other in scene.others() if not other.befallen]
    return scene.consumer.runs() and len(others) > 1


def _table() -> Iterator[Kind]:
    consumer, both = frozenset({Part.CONSUMER}), frozenset({Part.CONSUMER, Part.GROUP})

    def killed(name: str, how: str, do: Callable[[Scene], str]) -> Kind:
        return Kind(
            name=name,
            how=f"SIGKILL to a consumer {how}",
            undone="the process is started again, at once or when others own its partitions",
            afterwards="it is ready",
            parts=consumer,
            do=do,
            holds=consumer_is_ready,
            needs=another_runs,
        )

    def stopped(name: str, how: str, do: Callable[[Scene], str]) -> Kind:
        return Kind(
            name=name,
            how=f"SIGSTOP to a consumer {how}, until its session is over and others own "
            "its partitions",
            undone="SIGCONT",
            afterwards="it is ready",
            parts=consumer,
            do=do,
            holds=consumer_is_ready,
            needs=another_runs,
        )

    yield killed("killed", "at any moment", _kill)
    yield stopped("stopped", "at any moment", _stop)
    for moment, words in _MOMENTS.items():
        place = moment.name.lower().replace("_", " ")
        yield killed(f"killed, {place}", words, partial(_kill_at, moment))
        yield stopped(f"stopped, {place}", words, partial(_stop_at, moment))
    yield killed(
        "killed, rows arrive late",
        "with rows on their way, which arrive when others own its partitions",
        _kill_and_deliver_late,
    )
    yield Kind(
        name="joined",
        how="a process more is started",
        undone="it stays",
        afterwards="it is ready",
        parts=both,
        do=_join,
        holds=consumer_is_ready,
        needs=lambda scene: scene.consumer.is_free,
    )
    yield Kind(
        name="left",
        how="SIGTERM to a consumer",
        undone="it stays away",
        afterwards="all others are ready",
        parts=both,
        do=_leave,
        holds=all_are_ready,
        needs=_two_others_run,
    )
    yield Kind(
        name="joined, insert in flight",
        how="a process more is started while an insert of another is in flight",
        undone="it stays",
        afterwards="all are ready",
        parts=both,
        do=_join_in_insert,
        holds=all_are_ready,
        needs=_a_place_is_free,
    )
    yield Kind(
        name="left, insert in flight",
        how="SIGTERM to a consumer while an insert of another is in flight",
        undone="the process is started again",
        afterwards="all are ready",
        parts=both,
        do=_leave_in_insert,
        holds=all_are_ready,
        needs=_two_others_run,
    )


CONSUMER_FAULTS: tuple[Kind, ...] = tuple(_table())
