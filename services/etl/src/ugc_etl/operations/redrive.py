"""Dead letters decoded again with today's decoder: those that can be taken become rows.

For each letter: the row (or the ledger's entry), then the withdrawal. A crash in between leaves a
row and a letter; the repetition finds the row and withdraws the letter. Only letters below the
committed offset are touched, so no consumer works on them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from ugc_events import DeadLetter, Family

from ugc_etl.decode import Decoder
from ugc_etl.erasure import ledger_sql
from ugc_etl.operations.lease import Lease
from ugc_etl.operations.ports import KafkaLog, LetterRecord, Sql
from ugc_etl.operations.reread import records_of
from ugc_etl.operations.rows_once import ErasedList, Pace, RowsOnce
from ugc_etl.ports import RefusedError
from ugc_etl.protocol.intent import Foreign, Mark
from ugc_etl.pseudonym import viewers
from ugc_etl.records import Partition
from ugc_etl.row_table import Rows
from ugc_etl.schema import Deployment


class Step(Enum):
    """What is done with a letter."""

    INSERT = "become rows"
    ERASE = "are of erased viewers: into the ledger"
    WITHDRAW = "have a row or were erased: only the letter goes"
    STAY = "stay"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with one letter, and why in words; `row` has one structure or none."""

    record: LetterRecord
    letter: DeadLetter
    step: Step
    why: str
    row: Rows | None = None


@dataclass(slots=True)
class Redrive:
    """The stores and what is known of them.

    Attributes:
        families: by topic, with the deployment's prefix.
        letters_topic: of the dead letters.
        group: the consumers' group.
    """

    kafka: KafkaLog
    sql: Sql
    deployment: Deployment
    families: Mapping[str, Family]
    letters_topic: str
    group: str
    rows: RowsOnce
    erased: ErasedList
    pseudonym_key: bytes
    now_ms: int

    def decide(self, page: Sequence[LetterRecord]) -> list[Decision]:
        """Look at a page of letters, in their order."""
        current = self.kafka.partitions(list(self.families))
        marks = self.kafka.marks(self.group, current)
        by_partition: defaultdict[Partition, list[LetterRecord]] = defaultdict(list)
        for record in page:
            if (letter := record.letter) is not None:
                place = Partition(letter.topic, letter.topic_id, letter.partition)
                by_partition[place].append(record)
        decisions: list[Decision] = []
        for partition, unordered in by_partition.items():
            records = sorted(unordered, key=lambda r: r.letter.offset if r.letter else 0)
            settled = settled_before(partition, current, marks)
            decisions += self._of_partition(partition, records, settled)
        return decisions

    def apply(self, decisions: Sequence[Decision], lease: Lease, pace: Pace) -> Iterator[Decision]:
        """Do what was decided with the lease, one after another; gives what has been done."""
        for decision in decisions:
            if decision.step is not Step.STAY:
                pace.take()
                decision = self._apply(decision, lease)  # noqa: PLW2901 - what became of it
            yield decision

    def _apply(self, decision: Decision, lease: Lease) -> Decision:
        letter = decision.letter
        partition = Partition(letter.topic, letter.topic_id, letter.partition)
        family = self.families[letter.topic]
        until_s = lease.until_s()
        if decision.row is not None and self._is_erased(decision.row):
            self.sql.execute(
                ledger_sql(self.deployment, letter.topic_id, letter.partition, [letter.offset])
            )
            decision = replace(decision, step=Step.ERASE)
        elif decision.step is Step.INSERT and decision.row is not None:
            place = f"{letter.offset}-{letter.offset + 1}"
            try:
                self.rows.insert(family, partition, decision.row, place=place, until_s=until_s)
            except RefusedError as error:
                # A refusal does not mean that nothing landed.
                if not self.rows.covered(family, partition, [letter.offset]):
                    return Decision(decision.record, letter, Step.STAY, str(error))
        self.kafka.withdraw(self.letters_topic, [decision.record], until_s)
        return decision

    def _is_erased(self, row: Rows) -> bool:
        found = self.erased.now().mask(
            viewers(row["user_id"], self.pseudonym_key), row["_timestamp"].astype(np.int64)
        )
        return bool(found[0])

    def _of_partition(
        self, partition: Partition, records: Sequence[LetterRecord], settled: int | None
    ) -> Iterator[Decision]:
        family = self.families.get(partition.topic)
        letters = [record.letter for record in records if record.letter is not None]
        if family is None:
            for record, letter in zip(records, letters, strict=True):
                yield Decision(record, letter, Step.STAY, f"{letter.topic} is no topic of ours")
            return
        offsets = [letter.offset for letter in letters]
        covered = self.rows.covered(family, partition, offsets)
        covered |= self._erased_places(partition, offsets)
        decoded = Decoder(family).decode(records_of(partition, letters), self.now_ms)[partition]
        rows = {
            int(offset): decoded.rows.between(i, i + 1)
            for i, offset in enumerate(decoded.rows["_offset"])
        }
        refused = {letter.offset: letter for letter in decoded.dead_letters}
        for record, letter in zip(records, letters, strict=True):
            if settled is not None and letter.offset >= settled:
                yield Decision(
                    record, letter, Step.STAY,
                    "it is not below the committed offset: the consumers may still work on it",
                )  # fmt: skip
            elif letter.offset in covered:
                yield Decision(record, letter, Step.WITHDRAW, "its place is a row or erased")
            elif letter.cut_from_bytes:
                yield Decision(
                    record, letter, Step.STAY,
                    f"only the beginning of its {letter.cut_from_bytes} bytes was kept",
                )  # fmt: skip
            elif (again := refused.get(letter.offset)) is not None:
                field = f"{again.field}: " if again.field else ""
                yield Decision(record, letter, Step.STAY, f"{again.reason}: {field}{again.detail}")
            else:
                row = rows[letter.offset]
                step = Step.ERASE if self._is_erased(row) else Step.INSERT
                yield Decision(record, letter, step, "it can be taken now", row)

    def _erased_places(self, partition: Partition, offsets: Sequence[int]) -> set[int]:
        listed = ", ".join(map(str, offsets))
        rows = self.sql.execute(
            f"SELECT DISTINCT offset FROM {self.deployment.table('erased_places')}"
            f" WHERE topic_id = toUUID('{partition.topic_id}')"
            f" AND partition = {partition.number} AND offset IN ({listed})"
        )
        return {int(offset) for (offset,) in rows}


def report(decisions: Sequence[Decision], *, applied: bool) -> str:
    """How many letters went which way, and why those that stay do."""
    steps = Counter(decision.step for decision in decisions)
    tense = "" if applied else "would "
    lines = [f"{steps[step]:>9,} {tense}{step.value}" for step in Step if steps[step]]
    reasons = Counter(d.why for d in decisions if d.step is Step.STAY)
    lines += [f"          {count:,}: {why}" for why, count in reasons.most_common(20)]
    return "\n".join(lines or ["there are no such dead letters"])


def settled_before(
    partition: Partition, current: Sequence[Partition], marks: Mapping[Partition, Mark | Foreign]
) -> int | None:
    """Places before it are no consumer's any more; None: none of a former topic is."""
    if partition not in current:
        return None
    mark = marks.get(partition)
    if not isinstance(mark, Mark) or mark.topic_id != partition.topic_id:
        return 0
    return mark.offset
