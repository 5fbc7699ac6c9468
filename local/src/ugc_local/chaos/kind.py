"""A kind of fault as an entry of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ugc_local.chaos.scene import Scene


class Part(Enum):
    """What a fault befalls, so that two do not befall the same at once."""

    CONSUMER = "a consumer"
    GROUP = "the group of consumers"
    BROKER = "the broker"
    CLICKHOUSE = "ClickHouse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: as it is counted.
        how: what is done, in words.
        undone: how it is taken back, in words.
        afterwards: what must be true then, in words.
        parts: what it befalls; CONSUMER where one is chosen for it alone.
        do: does it, registers on `scene.undo` what takes it back, and returns the evidence that
            it had an effect. Raises NoEffectError.
        holds: whether what must be true afterwards is; asked until it is.
        needs: whether it can be done now.
    """

    name: str
    how: str
    undone: str
    afterwards: str
    parts: frozenset[Part]
    do: Callable[[Scene], str]
    holds: Callable[[Scene], bool]
    needs: Callable[[Scene], bool]

    @property
    def befalls(self) -> str:
        """In words."""
        return " and ".join(part.value for part in Part if part in self.parts)


def consumer_is_ready(scene: Scene) -> bool:
    """The consumer runs, and is ready by its own word."""
    return scene.consumer.is_ready()


def all_are_ready(scene: Scene) -> bool:
    """So are all."""
    return all(consumer.is_ready() for consumer in scene.world.running())


def consumer_runs(scene: Scene) -> bool:
    """There is a process to befall."""
    return scene.consumer.runs()


def another_runs(scene: Scene) -> bool:
    """There is one, and another that can take its partitions."""
    return scene.consumer.runs() and bool(scene.others())
