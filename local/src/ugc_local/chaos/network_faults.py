"""Faults of the network between one consumer, or all, and the stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ugc_local.chaos.kind import Kind, Part, another_runs, consumer_is_ready, consumer_runs
from ugc_local.chaos.link import After
from ugc_local.chaos.scene import Scene
from ugc_local.chaos.taps import Direction, Moment

_SLOW_BYTES_PER_S = 20_000
_SLOW_DELAY_S = 0.2


def _broken_at(moment: Moment, afters: tuple[After, ...], scene: Scene) -> str:
    after = scene.chance.choice(afters)
    sent = Moment[moment.name.replace("ANSWERED", "SENT")]
    link = scene.link_of(moment)
    with scene.frozen_at(moment) as frozen:
        so_far = link.passed[sent]
        frozen.release(after)
        scene.demand(lambda: link.passed[sent] > so_far, scene.patience_s, "it tries again")
    return f"{scene.consumer.name}: {moment.value}; {after.value}"


def _commit_late(scene: Scene) -> str:
    with scene.frozen_at(Moment.COMMIT_SENT) as frozen:
        scene.wait_until_replaced()
        frozen.release(After.GO_ON)
    return f"a commit of {scene.consumer.name} arrived when others owned its partitions"


def _cut_off_from_kafka(scene: Scene) -> str:
    owned = scene.owned()
    link = scene.consumer.kafka
    scene.undo.callback(link.mend)
    link.hold(*Direction)
    scene.wait_until_replaced()
    return f"others took the {owned} partitions of {scene.consumer.name}"


def _sink_unreachable(scene: Scene) -> str:
    link = scene.consumer.clickhouse
    refused = link.refused
    scene.undo.callback(link.mend)
    cut = link.down()
    scene.demand(lambda: link.refused > refused + 2, scene.patience_s, "it tries to connect")
    return f"{cut} connections of {scene.consumer.name} cut, {link.refused - refused} refused"


def _slow_sink(scene: Scene) -> str:
    links = [consumer.clickhouse for consumer in scene.world.consumers]
    held_up_s = sum(link.held_up_s for link in links)
    inserts = _answered(scene)
    for link in links:
        scene.undo.callback(link.mend)
        link.slow(Direction.REQUESTS, bytes_per_s=_SLOW_BYTES_PER_S, delay_s=_SLOW_DELAY_S)
        link.slow(Direction.REPLIES, delay_s=_SLOW_DELAY_S)
    scene.demand(
        lambda: (
            sum(link.held_up_s for link in links) > held_up_s + 4 and _answered(scene) > inserts
        ),
        scene.patience_s,
        "inserts go on, slowly",
    )
    waited_s = sum(link.held_up_s for link in links) - held_up_s
    return f"{_answered(scene) - inserts} inserts took {waited_s:.1f} s longer together"


def _answered(scene: Scene) -> int:
    moment = Moment.INSERT_ANSWERED
    return sum(consumer.clickhouse.passed[moment] for consumer in scene.world.consumers)


def _table() -> Iterator[Kind]:
    consumer = frozenset({Part.CONSUMER})

    def network(
        name: str,
        how: str,
        undone: str,
        do: Callable[[Scene], str],
        needs: Callable[[Scene], bool] = consumer_runs,
        parts: frozenset[Part] = consumer,
    ) -> Kind:
        return Kind(
            name=name,
            how=how,
            undone=undone,
            afterwards="the consumer is ready",
            parts=parts,
            do=do,
            holds=consumer_is_ready,
            needs=needs,
        )

    yield network(
        "insert cut",
        "the connection is cut before ClickHouse has an insert's rows, or half of them",
        "new connections pass",
        partial(_broken_at, Moment.INSERT_SENT, (After.CUT, After.HALF)),
    )
    yield network(
        "insert's answer cut",
        "the connection is cut when ClickHouse has committed and the consumer has not heard of it",
        "new connections pass",
        partial(_broken_at, Moment.INSERT_ANSWERED, (After.CUT,)),
    )
    yield network(
        "insert's answer swallowed",
        "the same, but the connection stays open and silent",
        "new connections pass",
        partial(_broken_at, Moment.INSERT_ANSWERED, (After.MUTE,)),
    )
    yield network(
        "commit cut",
        "the connection is cut before the broker has a commit",
        "new connections pass",
        partial(_broken_at, Moment.COMMIT_SENT, (After.CUT, After.HALF)),
    )
    yield network(
        "commit's answer cut",
        "the connection is cut when the broker has committed and the consumer has not heard of it",
        "new connections pass",
        partial(_broken_at, Moment.COMMIT_ANSWERED, (After.CUT,)),
    )
    yield network(
        "commit's answer swallowed",
        "the same, but the connection stays open and silent; the answers to heartbeats are "
        "swallowed, too",
        "new connections pass",
        partial(_broken_at, Moment.COMMIT_ANSWERED, (After.MUTE,)),
    )
    yield network(
        "dead letter cut",
        "the connection is cut before the broker has a dead letter",
        "new connections pass",
        partial(_broken_at, Moment.LETTER_SENT, (After.CUT, After.HALF)),
    )
    yield network(
        "dead letter's answer cut",
        "the connection is cut when the broker has a dead letter and the consumer has not heard "
        "of it",
        "new connections pass",
        partial(_broken_at, Moment.LETTER_ANSWERED, (After.CUT,)),
    )
    yield network(
        "commit late",
        "a commit, and all behind it, waits in the network until others own the partitions",
        "it passes",
        _commit_late,
        another_runs,
    )
    yield network(
        "cut off from Kafka",
        "nothing passes between a consumer and Kafka until others own its partitions; "
        "it still reaches ClickHouse",
        "what waited passes",
        _cut_off_from_kafka,
        another_runs,
    )
    yield network(
        "sink unreachable",
        "every connection of a consumer to ClickHouse is cut, new ones are refused",
        "new connections pass",
        _sink_unreachable,
    )
    yield network(
        "slow sink",
        "every link to ClickHouse passes 20 kB/s, each piece 0.2 s later",
        "full speed",
        _slow_sink,
        parts=frozenset({Part.CONSUMER, Part.CLICKHOUSE}),
    )


NETWORK_FAULTS: tuple[Kind, ...] = tuple(_table())
