"""The pipeline's figures against the ground truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ugc_local.demo.answers import Name, Value

_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """One figure that is not what it should be. None stands for "there is no such figure"."""

    figure: Name
    expected: Value
    found: Value

    def __str__(self) -> str:
        return f"{' / '.join(self.figure)}: expected {self.expected}, found {self.found}"


def differences(expected: Mapping[Name, Value], found: Mapping[Name, Value]) -> list[Difference]:
    """Every figure that differs, is missing or is too many, in the order of names.

    Counts must be equal. Ratios are the same division of the same integers on both sides and may
    differ in the last bits only.
    """
    return [
        Difference(name, expected.get(name), found.get(name))
        for name in sorted(expected.keys() | found.keys())
        if not _equal(expected.get(name, _MISSING), found.get(name, _MISSING))
    ]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=0.0)
    if isinstance(other, float) and isinstance(one, int):
        return _equal(other, one)
    return one == other and (one is _MISSING) == (other is _MISSING)
