"""Rows column by column, in as little memory as their values take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Rows:
    """Events of one family, in the order of their offsets.

    Columns are those of the envelope and of the family, as `native_block.array_type` has them,
    and `_timestamp` (ms) and `_offset` of the record. What has a fixed size lies in one
    structure a row, and is moved by copying bytes; objects are columns of their own.
    """

    cells: npt.NDArray[np.void]
    objects: Mapping[str, npt.NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        found = self.objects.get(column)
        return self.cells[column] if found is None else found

    def between(self, first: int, last: int) -> Rows:
        """The rows at the places [first, last); shares their memory."""
        return Rows(
            self.cells[first:last],
            {name: column[first:last] for name, column in self.objects.items()},
        )

    def at(self, places: npt.NDArray[np.intp]) -> Rows:
        """The rows at some places, copied."""
        return Rows(
            self.cells.take(places),
            {name: column.take(places) for name, column in self.objects.items()},
        )

    def where(self, wanted: npt.NDArray[np.bool_]) -> Rows:
        """The rows that are wanted; itself when all are."""
        return self if wanted.all() else self.at(np.flatnonzero(wanted))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """All rows of some parts, of which there is one at least."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.cells for part in parts]),
            {
                name: np.concatenate([part.objects[name] for part in parts])
                for name in parts[0].objects
            },
        )
