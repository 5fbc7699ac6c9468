"""Removes a viewer: raw rows, mart rows, dead letters; the places go to the ledger first.

1. *Listed*: the viewer and the time of the erasure, before anything else. From then on, consumers
   that have read the list make ledger entries of the viewer's earlier records.
2. *Sweep*: the places of the rows into the ledger, then the rows (only those whose places were
   written down), then the viewer's rows in the marts. Audience states cannot be reduced: their
   slots are emptied and counted again from the raw rows.
3. *Wait* until no insert can land that was prepared with an older list: the list's age and one
   insert deadline. Sweep again, dead letters too.
4. *Completed*.

Each step may be repeated. What a crash leaves undone is known from the list: the viewer is not
completed, and the slots that are still to be counted are in the viewer's row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
from ugc_events import DeadLetter, Family

from ugc_etl.erasure import ERASED_VIEWERS_REFRESH_S, ledger_sql
from ugc_etl.operations.dead_letters import Choice, chosen, whole
from ugc_etl.operations.marts import AUDIENCE, REACTIONS, VIEWINGS, Mart, delete, rebuild
from ugc_etl.operations.ports import KafkaLog, LetterRecord, Sql
from ugc_etl.operations.redrive import settled_before
from ugc_etl.operations.retention import retention_ms
from ugc_etl.operations.rows_once import Clock
from ugc_etl.ports import RefusedError
from ugc_etl.pseudonym import viewers
from ugc_etl.records import Partition
from ugc_etl.schema import Deployment

_SLOT_S = 900
_SKEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure as it is listed.

    Attributes:
        viewer: the pseudonym.
        cutoff_ms: records with an earlier timestamp are erased.
        slots: starts of quarters of an hour, seconds, whose audience is still to be counted.
        completed: whether it is through.
        updated_at_ms: of the row.
    """

    viewer: int
    cutoff_ms: int
    slots: tuple[int, ...] = ()
    completed: bool = False
    updated_at_ms: int = 0


@dataclass(slots=True)
class Found:
    """What there is of a viewer.

    Attributes:
        rows: by table.
        letters: of dead letters that name the viewer.
        viewings, reactions: rows of the marts.
    """

    rows: dict[str, int] = field(default_factory=dict)
    letters: list[LetterRecord] = field(default_factory=list)
    viewings: int = 0
    reactions: int = 0

    @property
    def nothing_older(self) -> bool:
        """Whether no earlier record is left; marts may have rows of one who came back."""
        return not any(self.rows.values()) and not self.letters

    def __str__(self) -> str:
        rows = ", ".join(f"{count:,} rows of {table}" for table, count in self.rows.items())
        return (
            f"{rows}; {self.viewings:,} of viewings, {self.reactions:,} of current_reactions;"
            f" {len(self.letters):,} dead letters"
        )


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases one user.

    Attributes:
        families: by topic, with the deployment's prefix.
        group: the consumers' group.
        deadline_s: of the consumers' inserts.
        on_progress: is told in words what goes on.
    """

    user: UUID
    kafka: KafkaLog
    sql: Sql
    deployment: Deployment
    families: Mapping[str, Family]
    letters_topic: str
    group: str
    pseudonym_key: bytes
    deadline_s: float
    clock: Clock
    on_progress: Callable[[str], None]

    @property
    def viewer(self) -> int:
        """The user's pseudonym."""
        user_ids = np.frombuffer(self.user.bytes, np.uint8).reshape(1, 16)
        return int(viewers(user_ids, self.pseudonym_key)[0])

    def listed(self) -> Erasure | None:
        """The newest erasure of this viewer."""
        rows = self.sql.execute(
            "SELECT toUnixTimestamp64Milli(erased_at), arrayMap(slot -> toUnixTimestamp(slot),"
            " slots), completed, toUnixTimestamp64Milli(updated_at)"
            f" FROM {self.deployment.table('erased_viewers')} WHERE viewer = {self.viewer}"
            " ORDER BY updated_at DESC LIMIT 1"
        )
        for cutoff_ms, slots, completed, updated_at_ms in rows:
            return Erasure(
                self.viewer, int(cutoff_ms), tuple(slots), bool(completed), int(updated_at_ms)
            )
        return None

    def find(self, before_ms: int) -> Found:
        """What there is of earlier records, and in the marts.

        Raises RefusedError where the rows carry another pseudonym.
        """
        found = Found()
        for table in self._tables():
            [(rows, strange)] = self.sql.execute(
                f"SELECT count(), countIf(viewer != {self.viewer})"
                f" FROM {self.deployment.table(table)} WHERE {self._is_gone(before_ms)}"
            )
            if strange:
                raise RefusedError(
                    f"{strange:,} rows of {table} of this user have another pseudonym:"
                    " PSEUDONYM_KEY is not the consumers' key, and the marts' rows would stay"
                )
            found.rows[table] = rows
        found.viewings = self._count(VIEWINGS)
        found.reactions = self._count(REACTIONS)
        found.letters = self._letters(before_ms)
        return found

    def erase(self) -> Found:
        """Do all of it; returns what is left at the end of rows and letters: normally nothing.

        Goes on with an erasure that is not completed, with its time; else begins one now.
        """
        erasure = self._begin()
        erasure = self._sweep(erasure)
        # Whoever prepared an insert with an older list has sent it, or is refused, by then.
        wait_s = ERASED_VIEWERS_REFRESH_S + self.deadline_s + _SKEW_S
        until_s = self.clock.monotonic_s() + wait_s
        self.on_progress(f"waiting {wait_s:.0f} s for inserts that may be in flight")
        while (left_s := until_s - self.clock.monotonic_s()) > 0:
            self.clock.wait(min(left_s, 10.0))
        erasure = self._sweep(erasure)
        self._erase_letters(erasure)
        left = self.find(erasure.cutoff_ms)
        if left.nothing_older:
            self._list(Erasure(erasure.viewer, erasure.cutoff_ms, (), True, erasure.updated_at_ms))
        return left

    def _begin(self) -> Erasure:
        known = self.listed()
        if known is not None and not known.completed:
            self.on_progress("going on with the erasure that was begun before")
            return known
        [(now_ms,)] = self.sql.execute("SELECT toUnixTimestamp64Milli(now64(3))")
        since_ms = 0 if known is None else known.updated_at_ms
        return self._list(Erasure(self.viewer, int(now_ms), updated_at_ms=since_ms))

    def _list(self, erasure: Erasure) -> Erasure:
        [(now_ms,)] = self.sql.execute("SELECT toUnixTimestamp64Milli(now64(3))")
        updated_at_ms = max(int(now_ms), erasure.updated_at_ms + 1)
        slots = ", ".join(str(slot) for slot in erasure.slots)
        self.sql.execute(
            f"INSERT INTO {self.deployment.table('erased_viewers')}"
            " (viewer, erased_at, slots, completed, updated_at)"
            f" SELECT {erasure.viewer}, fromUnixTimestamp64Milli({erasure.cutoff_ms}, 'UTC'),"
            f" arrayMap(slot -> toDateTime(slot, 'UTC'), [{slots}]::Array(UInt32)),"
            f" {int(erasure.completed)}, fromUnixTimestamp64Milli({updated_at_ms}, 'UTC')"
        )
        return Erasure(
            erasure.viewer, erasure.cutoff_ms, erasure.slots, erasure.completed, updated_at_ms
        )

    def _sweep(self, erasure: Erasure) -> Erasure:
        gone = self._is_gone(erasure.cutoff_ms)
        slots = {
            int(slot)
            for (slot,) in self.sql.execute(
                f"SELECT DISTINCT intDiv(toUnixTimestamp64Milli(occurred_at), {_SLOT_S * 1000})"
                f" * {_SLOT_S} FROM {self.deployment.table('views')} WHERE {gone}"
            )
        }
        # Written down before the rows go: afterwards nobody could tell.
        erasure = self._list(
            Erasure(
                erasure.viewer,
                erasure.cutoff_ms,
                tuple(sorted(slots.union(erasure.slots))),
                updated_at_ms=erasure.updated_at_ms,
            )
        )
        ledger = self.deployment.table("erased_places")
        for table in self._tables():
            [(since_ms,)] = self.sql.execute("SELECT toUnixTimestamp64Milli(now64(3))")
            self.sql.execute(
                f"INSERT INTO {ledger} (topic_id, partition, offset)"
                " SELECT DISTINCT _topic_id, _partition, _offset"
                f" FROM {self.deployment.table(table)} WHERE {gone}"
            )
            self.on_progress(f"deleting rows of {table}")
            delete(
                self.sql,
                self.deployment,
                table,
                f"{gone} AND (_topic_id, _partition, _offset) IN"
                f" (SELECT topic_id, partition, offset FROM {ledger}"
                f" WHERE erased_at >= fromUnixTimestamp64Milli({since_ms}))",
            )
        # A viewer who came back has newer rows, and they stay.
        for mart in (VIEWINGS, REACTIONS):
            self.on_progress(f"deleting rows of {mart.table}")
            delete(self.sql, self.deployment, mart.table, f"viewer = {self.viewer}")
            rebuild(self.sql, self.deployment, mart, f"viewer = {self.viewer}")
        return self._recount(erasure)

    def _recount(self, erasure: Erasure) -> Erasure:
        """Empty the viewer's slots and count them again, while the raw rows are there for that."""
        kept_ms = retention_ms(self.sql, self.deployment, "views")
        oldest_s = 0 if kept_ms is None else (erasure.updated_at_ms - kept_ms) // 1000 + 86_400
        slots = [slot for slot in erasure.slots if slot >= oldest_s]
        if len(slots) < len(erasure.slots):
            self.on_progress(
                f"{len(erasure.slots) - len(slots)} quarters of an hour are older than the raw"
                " rows and keep their approximate audience"
            )
        if slots:
            self.on_progress(f"counting the audience of {len(slots)} quarters of an hour again")
            listed = ", ".join(str(slot) for slot in slots)
            delete(
                self.sql, self.deployment, AUDIENCE.table, f"toUnixTimestamp(slot) IN ({listed})"
            )
            rebuild(
                self.sql,
                self.deployment,
                AUDIENCE,
                f"intDiv(toUnixTimestamp64Milli(occurred_at), {_SLOT_S * 1000}) * {_SLOT_S}"
                f" IN ({listed})",
            )
        return self._list(
            Erasure(erasure.viewer, erasure.cutoff_ms, updated_at_ms=erasure.updated_at_ms)
        )

    def _letters(self, before_ms: int) -> list[LetterRecord]:
        """Earlier letters whose key, value or headers name the user; without those."""
        records = chosen(self.kafka, self.letters_topic, Choice())
        return [
            record._replace(letter=replace(letter, key=None, value=None, headers=()))
            for page in whole(self.kafka, self.letters_topic, records)
            for record in page
            if (letter := record.letter) is not None
            and min(letter.timestamp_ms, letter.first_seen_ms) < before_ms
            and _names(letter, self.user)
        ]

    def _erase_letters(self, erasure: Erasure) -> None:
        current = self.kafka.partitions(list(self.families))
        marks = self.kafka.marks(self.group, current)
        [(now_s,)] = self.sql.execute("SELECT toUnixTimestamp(now())")
        for record in self._letters(erasure.cutoff_ms):
            if (letter := record.letter) is None:
                continue
            partition = Partition(letter.topic, letter.topic_id, letter.partition)
            settled = settled_before(partition, current, marks)
            if settled is not None and letter.offset >= settled:
                self.on_progress(
                    f"the dead letter {partition} {letter.offset} is not below the committed"
                    " offset yet: repeat the command later"
                )
                continue
            self.sql.execute(
                ledger_sql(self.deployment, letter.topic_id, letter.partition, [letter.offset])
            )
            self.kafka.withdraw(self.letters_topic, [record], int(now_s + self.deadline_s))

    def _count(self, mart: Mart) -> int:
        [(count,)] = self.sql.execute(
            f"SELECT count() FROM {self.deployment.table(mart.table)} WHERE viewer = {self.viewer}"
        )
        return int(count)

    def _tables(self) -> Sequence[str]:
        return sorted({family.table for family in self.families.values()})

    def _is_gone(self, before_ms: int) -> str:
        # By the user, not the pseudonym: that a row has another one must come to light.
        return (
            f"user_id = toUUID('{self.user}')"
            f" AND _timestamp < fromUnixTimestamp64Milli({before_ms}, 'UTC')"
        )


def _names(letter: DeadLetter, user: UUID) -> bool:
    """Whether the user's id stands anywhere in the original record."""
    contents = [letter.key, letter.value, *(content for _, content in letter.headers)]
    return any(str(user).encode() in (content or b"").lower() for content in contents)
