"""What a world is built of, so that a test can put a broken part in the place of a good one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ugc_etl.protocol import Course, Intent, Mark, Rules, Timing, encode_metadata, insert_token
from ugc_etl.records import Partition

from ugc_etl_simulation.clickhouse import INSERT_LIMIT_S, Row

TIMING = Timing(deadline_s=20, hunt_deadline_s=8, margin_s=3, fence_s=4, refresh_s=500)
"""Seconds of a world, in which little takes as long as in ours."""
MOST_SKEW_S = 1.0
"""Of any clock."""


def is_own(row: Row, offset: int, intent: Intent) -> bool:
    """As the read-back's SQL tells it."""
    return intent.start <= offset < intent.end and (
        (row.attempt, row.insert_by_s) == (intent.attempt, intent.insert_by_s)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The parts.

    Attributes:
        course, rules: the protocol.
        token: names an insert.
        is_own: whether a row at an offset is an intent's.
        encode: a mark as metadata.
        commits_fenced: the coordinator refuses commits of those that are no members any more.
        letters_first: dead letters and ledger entries are acknowledged before rows are sent.
        late_letters_refused: the dead-letter topic refuses letters after their deadline.
        late_rows_refused: the tables' constraint.
        window_s, window_blocks: how long and for how many blocks ClickHouse remembers tokens.
        read_clock_first: a read-back asks the clock, then what runs, then rows.
        filters_erased: records of erased viewers are not inserted.
        second_sweep: erasure sweeps again when all deadlines have passed.
        assumes_quiet: marks are lost or set back only while nothing is in flight that the older
            mark does not know of: the assumption that docs/delivery-semantics.md states.
    """

    course: type[Course] = Course
    rules: type[Rules] = Rules
    token: Callable[[Partition, Intent], str] = insert_token
    is_own: Callable[[Row, int, Intent], bool] = is_own
    encode: Callable[[Mark], str] = encode_metadata
    commits_fenced: bool = True
    letters_first: bool = True
    late_letters_refused: bool = True
    late_rows_refused: bool = True
    window_s: float = TIMING.deadline_s + 4 * MOST_SKEW_S + INSERT_LIMIT_S
    window_blocks: int = 1000
    read_clock_first: bool = True
    filters_erased: bool = True
    second_sweep: bool = True
    assumes_quiet: bool = True
