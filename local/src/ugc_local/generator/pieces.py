"""What a viewer's script is made of: small, whatever it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

DAY_MS = 86_400_000
TICK_MS = 30_000
NO_FILM = -1


class Run(NamedTuple):
    """Ticks of undisturbed playback: every 30 s, the last one `tail_ms` after its forerunner.

    `at_ms` (since the first day began) and `position_ms` are those of the first tick.
    """

    film: int
    session: int
    serial: int
    at_ms: int
    position_ms: int
    ticks: int
    tail_ms: int
    device: str


class Single(NamedTuple):
    """Any other event; `fields` is the JSON of its own fields, `value` what the truth needs."""

    type: str
    film: int
    session: int
    serial: int
    at_ms: int
    fields: str
    value: int | bool | None


class Broken(NamedTuple):
    """A malformed event: an index into `violations.MALFORMED`."""

    kind: int
    film: int
    session: int
    serial: int
    at_ms: int


Piece = Run | Single | Broken


class Flush(NamedTuple):
    """One request: when it is sent (ms since the first day began) and what is in it."""

    at_ms: int
    pieces: tuple[Piece, ...]
    again: bool

    @property
    def events(self) -> int:
        return count(self.pieces)


class Rogue(NamedTuple):
    """One poison record: `draw` in [0, 1) chooses among `violations.POISON`."""

    at_ms: int
    draw: float
    film: int
    serial: int


def count(pieces: Sequence[Piece]) -> int:
    """How many events the pieces are."""
    return sum(piece.ticks if isinstance(piece, Run) else 1 for piece in pieces)


def cut(pieces: Sequence[Piece], events: int) -> tuple[Piece, ...]:
    """The first `events` of the pieces' events."""
    kept: list[Piece] = []
    for piece in pieces:
        if events <= 0:
            break
        if isinstance(piece, Run) and piece.ticks > events:
            kept.append(piece._replace(ticks=events, tail_ms=0))
            break
        kept.append(piece)
        events -= count((piece,))
    return tuple(kept)
