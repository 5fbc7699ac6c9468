"""A ClickHouse with what the protocol relies on, and what it must bear."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

Life = tuple[str, int]
"""A partition of one life of a topic: topic id and number."""


INSERT_LIMIT_S = 5.0
"""`max_execution_time` of inserts."""


class Row(NamedTuple):
    """What counts of a row."""

    attempt: int
    insert_by_s: int
    viewer: int


class Violation(Exception):  # noqa: N818 - it is what the simulation looks for
    """Something was lost, doubled or both."""


@dataclass(slots=True)
class Insert:
    """An insert statement.

    Attributes:
        poisoned: whether ClickHouse refuses the rows as such.
        reply: told "ok", "unknown", "data" or "late".
    """

    token: str
    life: Life
    rows: dict[int, Row]
    insert_by_s: int
    poisoned: bool
    reply: Reply
    began_s: float = 0.0


class Reply:
    """Where an answer goes; nobody may be listening any more."""

    __slots__ = ("answer", "lost")

    def __init__(self, *, lost: bool = False) -> None:
        self.answer: str | None = None
        self.lost = lost

    def say(self, answer: str) -> None:
        """Answer, unless the answer gets lost."""
        if not self.lost:
            self.answer = answer


@dataclass(slots=True)
class Shard:
    """One shard's tables.

    Attributes:
        marts: by offset, the viewer.
        tokens, mart_tokens: remembered, with the time they were first seen.
    """

    rows: dict[Life, dict[int, Row]] = field(default_factory=dict)
    marts: dict[Life, dict[int, int]] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    mart_tokens: dict[str, float] = field(default_factory=dict)
    running: list[Insert] = field(default_factory=list)


class ClickHouse:
    """All shards, one clock."""

    def __init__(
        self, *, skew_s: float, window_s: float, window_blocks: int, refuses_late: bool
    ) -> None:
        self._skew_s = skew_s
        self._window_s = window_s
        self._window_blocks = window_blocks
        self._refuses_late = refuses_late
        self.shards = [Shard(), Shard(), Shard()]
        self.ledger: dict[Life, set[int]] = {}
        self.expired: dict[Life, set[int]] = {}
        self.letters: dict[Life, set[int]] = {}
        self.erased_viewers: set[int] = set()

    def now_s(self, true_s: float) -> float:
        """The server's clock."""
        return true_s + self._skew_s

    # An insert: it arrives, runs, and commits at some time.

    def arrives(self, shard: int, insert: Insert, true_s: float) -> None:
        """The statement is read; the constraint is checked now, at no later time."""
        if insert.poisoned:
            insert.reply.say("data")
        elif self._refuses_late and int(self.now_s(true_s)) > insert.insert_by_s:
            insert.reply.say("late")
        else:
            self.shards[shard].running.append(replace(insert, began_s=true_s))

    def commits(self, shard: Shard, insert: Insert, true_s: float, view: str) -> None:
        """The rows become visible, then the marts'.

        `view`: "ok"; it throws "before" or "after" the rows are in; it "alone" has them.
        """
        shard.running.remove(insert)
        if true_s - insert.began_s > INSERT_LIMIT_S:
            insert.reply.say("unknown")
            return
        if view == "before":
            insert.reply.say("data")
            return
        if view == "alone" and insert.token not in shard.tokens:
            if self._is_new(shard.mart_tokens, insert.token, true_s):
                _apply(shard, insert.life, insert.rows)
            insert.reply.say("data" if true_s % 1 < 0.5 else "unknown")
            return
        if self._is_new(shard.tokens, insert.token, true_s):
            rows = shard.rows.setdefault(insert.life, {})
            for offset, row in insert.rows.items():
                self._check_new(insert, offset)
                rows[offset] = row
        if view == "after":
            insert.reply.say("data" if true_s % 1 < 0.5 else "unknown")
            return
        if self._is_new(shard.mart_tokens, insert.token, true_s):
            _apply(shard, insert.life, insert.rows)
        insert.reply.say("ok")

    def _check_new(self, insert: Insert, offset: int) -> None:
        life = insert.life
        for shard in self.shards:
            if offset in shard.rows.get(life, ()):
                was = shard.rows[life][offset]
                raise Violation(f"{life} {offset} doubled by {insert.token}, there was {was}")
        if offset in self.letters.get(life, ()):
            raise Violation(f"{life} {offset} has a letter, and a row by {insert.token}")

    def _is_new(self, tokens: dict[str, float], token: str, true_s: float) -> bool:
        for old in [t for t, seen_s in tokens.items() if seen_s + self._window_s < true_s]:
            del tokens[old]
        if token in tokens:
            return False
        tokens[token] = true_s
        while len(tokens) > self._window_blocks:
            del tokens[next(iter(tokens))]
        return True

    def writes_letters(self, life: Life, offsets: Iterable[int]) -> None:
        """The dead-letter topic; kept here because it is read together with the tables."""
        for offset in offsets:
            if any(offset in shard.rows.get(life, ()) for shard in self.shards):
                raise Violation(f"{life} {offset} has a row, and now a letter")
            self.letters.setdefault(life, set()).add(offset)

    # What consumers ask.

    def is_running(self, life: Life) -> bool:
        """Whether any insert of the partition runs, on any shard."""
        return any(insert.life == life for shard in self.shards for insert in shard.running)

    def cancels(self, life: Life) -> None:
        """KILL QUERY."""
        for shard in self.shards:
            for insert in [i for i in shard.running if i.life == life]:
                shard.running.remove(insert)
                insert.reply.say("unknown")

    def rows_of(self, life: Life) -> dict[int, Row]:
        """Of every shard."""
        rows: dict[int, Row] = {}
        for shard in self.shards:
            rows.update(shard.rows.get(life, {}))
        return rows

    def rebuilds_marts(self, life: Life, start: int, end: int) -> None:
        """INSERT INTO mart SELECT … FROM the raw rows."""
        for shard in self.shards:
            rows = shard.rows.get(life, {})
            _apply(shard, life, {o: row for o, row in rows.items() if start <= o < end})

    # What else happens.

    def restarts(self) -> None:
        """Running inserts are gone; a client learns nothing."""
        for shard in self.shards:
            for insert in shard.running:
                insert.reply.say("unknown")
            shard.running.clear()

    def erases(self, viewers: Iterable[int]) -> None:
        """Ledger first, then rows and marts."""
        erased = set(viewers)
        for shard in self.shards:
            for life, rows in shard.rows.items():
                gone = {offset for offset, row in rows.items() if row.viewer in erased}
                self.ledger.setdefault(life, set()).update(gone)
                for offset in gone:
                    del rows[offset]
            for life, mart in shard.marts.items():
                shard.marts[life] = {o: v for o, v in mart.items() if v not in erased}

    def expires(self, life: Life, before: int) -> None:
        """TTL: rows of old records go, and are known to be old."""
        for shard in self.shards:
            rows = shard.rows.get(life, {})
            for offset in [o for o in rows if o < before]:
                del rows[offset]
        self.expired.setdefault(life, set()).update(range(before))

    def covers(self, life: Life, offset: int) -> bool:
        """Whether the place is a row, a letter, erased or expired."""
        return (
            any(offset in shard.rows.get(life, ()) for shard in self.shards)
            or offset in self.letters.get(life, ())
            or offset in self.ledger.get(life, ())
            or offset in self.expired.get(life, ())
        )


def _apply(shard: Shard, life: Life, rows: dict[int, Row]) -> None:
    mart = shard.marts.setdefault(life, {})
    for offset, row in rows.items():
        mart[offset] = row.viewer
