"""Whether every place below the committed offset is a row, a dead letter or erased, exactly once.

`Evidence` is what was found of one partition (see `evidence`), `judge` compares it with that rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ugc_etl.operations.coverage import Coverage
from ugc_etl.operations.spans import told, without
from ugc_etl.protocol.intent import Foreign, Mark
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.records import Partition


@dataclass(frozen=True, slots=True)
class Scope:
    """What is audited. Offsets are bounds within one partition; None leaves a side open.

    Attributes:
        topic: only this one, by its name with the deployment's prefix.
        partition: only this number.
    """

    topic: str | None = None
    partition: int | None = None
    from_offset: int | None = None
    to_offset: int | None = None

    def __post_init__(self) -> None:
        """Refuse offsets without the partition that they are of."""
        if (self.from_offset, self.to_offset) != (None, None) and (
            self.topic is None or self.partition is None
        ):
            raise ValueError("offsets are those of one partition: name the topic and the partition")

    def takes(self, partition: Partition) -> bool:
        """Whether the partition is in it."""
        return self.topic in (None, partition.topic) and self.partition in (None, partition.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found of one partition of one life of a topic.

    Attributes:
        partition: which.
        current: whether the topic has this id now; a former one has neither records nor marks.
        start, end: the audited offsets.
        mark: what is committed, read first; None without a commit.
        later_mark: the same, read last.
        last_row: greatest offset of any row, in or beyond the bounds; None without rows.
        coverage: what the tables have in [start, end).
        letters: offsets of dead letters in [start, end).
        kept_from: the first offset that Kafka keeps; of a former topic `end`.
        records: which of the uncovered offsets Kafka has a record of.
        outlived: those of them that are older than the tables' retention.
    """

    partition: Partition
    current: bool
    start: int
    end: int
    mark: Mark | Foreign | None
    later_mark: Mark | Foreign | None
    last_row: int | None
    coverage: Coverage
    letters: Ranges
    kept_from: int
    records: Ranges
    outlived: Ranges

    @property
    def uncovered(self) -> Ranges:
        """Neither row, nor dead letter, nor erased."""
        return without(self.coverage.gaps, self.letters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of one partition. Each set is of offsets in the audited bounds.

    Attributes:
        evidence: what it rests on.
        missing: Kafka has a record, and it is nowhere: it can be repaired.
        lost: between rows, and Kafka no longer keeps what was there: what it was cannot be told.
        expired: before the first row, or older than a retention: gone as intended.
        no_record: offsets that Kafka gave to no record: markers, compaction.
        row_and_letter: places that are a row or erased, and a dead letter too.
        in_flight: offsets beyond the mark that are declared.
        ahead: a row's offset that nobody has declared; None where there is none.
        differences: a sentence for everything that is wrong.
        remarks: a sentence for what is not wrong, and good to know.
    """

    evidence: Evidence
    missing: Ranges = field(default_factory=Ranges)
    lost: Ranges = field(default_factory=Ranges)
    expired: Ranges = field(default_factory=Ranges)
    no_record: Ranges = field(default_factory=Ranges)
    row_and_letter: Ranges = field(default_factory=Ranges)
    in_flight: int = 0
    ahead: int | None = None
    differences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.differences


def judge(evidence: Evidence) -> Verdict:
    """Compare what was found with the rule."""
    coverage, uncovered = evidence.coverage, evidence.uncovered
    kept = uncovered.within(max(evidence.kept_from, evidence.start), evidence.end)
    gone = without(uncovered, kept)
    # What lies before the first row was there before the table was, or the table let it go.
    first_row = evidence.end if coverage.first_row is None else coverage.first_row
    before = gone.within(evidence.start, max(first_row, evidence.start))
    limit = _declared_until(evidence.later_mark)
    verdict = Verdict(
        evidence=evidence,
        missing=without(evidence.records, evidence.outlived),
        lost=without(gone, before),
        expired=Ranges.of((*before.parts, *evidence.outlived.parts)),
        no_record=without(kept, evidence.records),
        row_and_letter=without(evidence.letters, coverage.gaps),
        in_flight=_in_flight(evidence.mark),
        ahead=evidence.last_row
        if limit is not None and evidence.last_row is not None and evidence.last_row >= limit
        else None,
    )
    return replace(
        verdict, differences=tuple(_differences(verdict)), remarks=tuple(_remarks(verdict))
    )


def _differences(verdict: Verdict) -> Iterator[str]:
    evidence = verdict.evidence
    if verdict.missing:
        yield f"missing: {told(verdict.missing)}; Kafka has the records, `--repair` inserts them"
    if verdict.lost:
        yield (
            f"lost: {told(verdict.lost)} between rows; Kafka no longer keeps these offsets, so"
            " they cannot be repaired, nor told from offsets without a record"
        )
    for run in evidence.coverage.doubled:
        inserts = "; ".join(
            f"part {source.part}, generation {source.generation}, attempt {source.attempt},"
            f" deadline {source.insert_by_s}"
            for source in run.sources
        )
        yield (
            f"doubled: {told(Ranges.of([(run.start, run.end)]))}, {run.rows:,} rows, each offset"
            f" from {inserts}; `etl replay` of the range puts one row in their place"
        )
    if verdict.row_and_letter:
        yield f"both a row (or erased) and a dead letter: {told(verdict.row_and_letter)}"
    if evidence.coverage.erased_with_row:
        yield (
            f"erased, and yet a row: {told(evidence.coverage.erased_with_row)}; an erasure was"
            " interrupted or is under way: repeat `etl erase`"
        )
    if isinstance(evidence.later_mark, Foreign):
        yield f"the committed offset is not the ETL's: {evidence.later_mark.sentence}"
    if verdict.ahead is not None:
        yield (
            f"ahead: a row at offset {verdict.ahead:,} that no intent has declared: the committed"
            " offset was set back, or a stopped consumer went on"
        )


def _remarks(verdict: Verdict) -> Iterator[str]:
    evidence = verdict.evidence
    if not evidence.current:
        yield "of a former topic: there is nothing to compare its end with"
    elif evidence.mark is None and evidence.last_row is not None:
        yield "nothing is committed: audited up to the last row"
    if verdict.expired:
        yield f"expired: {told(verdict.expired)}"
    if verdict.no_record:
        yield f"no record at: {told(verdict.no_record)}"
    if len(evidence.coverage.generations) > 1 or any(evidence.coverage.generations):
        rows = ", ".join(
            f"{rows:,} of generation {number}"
            for number, rows in sorted(evidence.coverage.generations.items())
        )
        yield f"rows: {rows}"


def _declared_until(mark: Mark | Foreign | None) -> int | None:
    if not isinstance(mark, Mark):
        return None
    declared = mark.intent.end if mark.intent is not None else mark.offset
    return max(declared, mark.recover_until or 0, mark.hunt_until or 0)


def _in_flight(mark: Mark | Foreign | None) -> int:
    if isinstance(mark, Mark) and mark.intent is not None:
        return mark.intent.end - mark.offset
    return 0
