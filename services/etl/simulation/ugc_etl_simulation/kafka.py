"""A Kafka with one topic, one group coordinator, and the clock of its brokers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ugc_etl.protocol import Foreign, Mark, decode_metadata
from ugc_etl.records import Partition


class SimRecord(NamedTuple):
    """A record.

    Attributes:
        needs: the first decoder that can take it.
        poison: ClickHouse refuses its row.
        marker: no record, but the end of a transaction: it takes an offset and is never read.
    """

    offset: int
    viewer: int
    needs: int
    poison: bool
    marker: bool


@dataclass(slots=True)
class Log:
    """The records of a partition of one life of the topic."""

    records: list[SimRecord] = field(default_factory=list)
    first: int = 0


class Request(NamedTuple):
    """An offset commit as it travels."""

    member: int
    generation: int
    number: int
    offset: int
    metadata: str


class Kafka:
    """The brokers."""

    def __init__(self, numbers: range, *, skew_s: float, commits_fenced: bool) -> None:
        self._skew_s = skew_s
        self._commits_fenced = commits_fenced
        self.numbers = numbers
        self.life = 0
        self.logs: dict[tuple[str, int], Log] = {}
        self.marks: dict[int, tuple[int, str]] = {}
        self.generation = 0
        self.members: set[int] = set()
        self.joined: set[int] = set()
        self.preparing = False
        self.assignment: dict[int, tuple[int, ...]] = {}
        self.accepted: list[Request] = []
        self.make_topic()

    def now_s(self, true_s: float) -> float:
        """The brokers' clock."""
        return true_s + self._skew_s

    @property
    def topic_id(self) -> str:
        """Of the life that is."""
        return f"life-{self.life}"

    def make_topic(self) -> None:
        """A new life: new logs."""
        self.life += 1
        for number in self.numbers:
            self.logs[self.topic_id, number] = Log()

    def partition(self, number: int) -> Partition:
        """As the consumers know it."""
        return Partition("topic", self.topic_id, number)

    def log(self, partition: Partition) -> Log:
        """Of a life that may be over."""
        return self.logs[partition.topic_id, partition.number]

    # Offsets.

    def commits(self, request: Request) -> bool:
        """Whether the commit was accepted."""
        is_member = request.generation == self.generation and request.member in self.members
        if self._commits_fenced and not is_member:
            return False
        self.marks[request.number] = request.offset, request.metadata
        self.accepted.append(request)
        return True

    def mark(self, number: int) -> Mark | Foreign | None:
        """As a new owner reads it."""
        found = self.marks.get(number)
        return None if found is None else decode_metadata(*found)

    # The group, with the eager protocol: all give up, then all join.

    def rebalance(self) -> None:
        """Ask every member to join again."""
        self.preparing = True
        self.joined = set()

    def joins(self, member: int) -> None:
        """A member joins, again or for the first time."""
        if member not in self.members:
            self.members.add(member)
            if not self.preparing:
                self.rebalance()
        self.joined.add(member)
        self._complete()

    def leaves(self, member: int) -> None:
        """A member leaves, or its session is over."""
        if member in self.members:
            self.members.discard(member)
            self.joined.discard(member)
            if not self.preparing:
                self.rebalance()
            self._complete()

    def _complete(self) -> None:
        if self.preparing and self.members and self.joined >= self.members:
            self.preparing = False
            self.generation += 1
            members = sorted(self.members)
            turn = self.generation % len(members)
            self.assignment = {
                member: tuple(
                    n for n in self.numbers if members[(n + turn) % len(members)] == member
                )
                for member in members
            }
