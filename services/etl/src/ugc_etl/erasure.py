"""Erased viewers, as consumers honour them: their earlier records make ledger entries, not rows.

The list and the ledger are tables of the schema (migration 4); this module has their SQL and the
decision, the ClickHouse adapter runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar
from uuid import UUID

import numpy as np
import numpy.typing as npt

from ugc_etl.schema import Deployment

ERASED_VIEWERS_REFRESH_S = 5.0
"""A batch is declared only with a list that was read within so many seconds before. What is
declared lands before its deadline or never, so this long and one insert deadline after a viewer
was put on the list, no earlier record of theirs can land any more."""


@dataclass(frozen=True, slots=True, eq=False)
class ErasedViewers:
    """The list. Use `of`.

    Attributes:
        viewers: pseudonyms, ascending.
        cutoffs_ms: for each, the time of its erasure: records with an earlier timestamp are
            erased, later ones are of a viewer who came back.
    """

    NONE: ClassVar[ErasedViewers]

    viewers: npt.NDArray[np.uint64]
    cutoffs_ms: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> ErasedViewers:
        """From (viewer, cutoff in ms), each viewer once, in any order."""
        ordered = sorted((int(viewer), int(cutoff_ms)) for viewer, cutoff_ms in rows)
        return cls(
            np.array([viewer for viewer, _ in ordered], np.uint64),
            np.array([cutoff_ms for _, cutoff_ms in ordered], np.int64),
        )

    def mask(
        self, viewers: npt.NDArray[np.uint64], timestamps_ms: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """For each row whether it is erased: of a listed viewer, and older than the erasure."""
        if not len(self.viewers):
            return np.zeros(len(viewers), np.bool_)
        at = np.searchsorted(self.viewers, viewers)
        at[at == len(self.viewers)] = 0
        erased: npt.NDArray[np.bool_] = (self.viewers[at] == viewers) & (
            timestamps_ms < self.cutoffs_ms[at]
        )
        return erased


ErasedViewers.NONE = ErasedViewers.of([])


def erased_viewers_sql(deployment: Deployment) -> str:
    """The list: rows for `ErasedViewers.of`."""
    return (
        "SELECT viewer, toUnixTimestamp64Milli(max(erased_at))"
        f" FROM {deployment.table('erased_viewers')} GROUP BY viewer"
    )


def ledger_sql(
    deployment: Deployment, topic_id: str, partition: int, offsets: Iterable[int]
) -> str:
    """Put places into the ledger; to be repeated until it is acknowledged, which is harmless.

    There must be an offset.
    """
    # Steps are shorter than offsets: a statement has 256 KiB, and a batch some 20,000 records.
    ordered = sorted(int(offset) for offset in offsets)
    steps = [ordered[0], *(after - before for before, after in pairwise(ordered))]
    listed = ", ".join(map(str, steps))
    topic = UUID(topic_id)
    return (
        f"INSERT INTO {deployment.table('erased_places')} (topic_id, partition, offset)"
        f" SELECT toUUID('{topic}'), {int(partition)},"
        f" arrayJoin(arrayCumSum([{listed}]::Array(UInt64)))"
    )
