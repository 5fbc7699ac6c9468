"""Totals and extremes apart from the rows, as the native protocol has them.

The engine gives them only within a text, so such a result goes through a file of tab-separated
rows with line ends of two bytes. Totals and extremes follow the rows, each behind a line end of
one byte, which stands nowhere else.
"""

import mmap
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ugc_local.clickhouse.engine_session import Session
from ugc_local.clickhouse.external_tables import structure_of
from ugc_local.clickhouse.native_block import Columns
from ugc_local.clickhouse.quoting import quote_string

_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class SummarisedResult:
    """`rows` is a query that gives the rows; the others are whole blocks, in `FORMAT Native`."""

    rows: str
    totals: bytes
    extremes: bytes
    read_rows: int
    read_bytes: int


@contextmanager
def summarised_result(session: Session, sql: str, columns: Columns) -> Iterator[SummarisedResult]:
    """Run a SELECT once and take its result apart; its files go with the block."""
    path, answer = session.run_to_file(sql, "TabSeparated")
    rows_path = path.with_suffix(".rows")
    structure = structure_of(columns)
    try:
        totals, extremes = take_apart(path, rows_path)
        yield SummarisedResult(
            rows=_select(f"file({quote_string(str(rows_path))}, TabSeparated", structure),
            totals=_block(session, totals, structure),
            extremes=_block(session, extremes, structure),
            read_rows=answer.read_rows,
            read_bytes=answer.read_bytes,
        )
    finally:
        path.unlink(missing_ok=True)
        rows_path.unlink(missing_ok=True)


def _select(source: str, structure: str) -> str:
    return f"SELECT * FROM {source}, {quote_string(structure)})"


def _block(session: Session, lines: bytes, structure: str) -> bytes:
    if not lines:
        return b""
    path = session.spool_directory / f"{uuid.uuid4()}.summary"
    path.write_bytes(lines)
    try:
        source = f"file({quote_string(str(path))}, TabSeparated"
        return session.run(_select(source, structure), "Native").data
    finally:
        path.unlink()


def take_apart(path: Path, rows_path: Path) -> tuple[bytes, bytes]:
    """Copy the rows to a file of their own; return the lines of totals and of extremes."""
    end, tail = _end_of_rows(path)
    with path.open("rb") as source, rows_path.open("wb") as rows:
        left = end
        while left:
            piece = source.read(min(left, _COPY_BYTES))
            left -= len(piece)
            rows.write(piece.replace(b"\r", b""))  # within a value it is written as \r
    totals = extremes = b""
    for part in _parts(tail):
        if part.count(b"\n") == 1:
            totals = part
        else:
            extremes = part
    return totals, extremes


def _end_of_rows(path: Path) -> tuple[int, bytes]:
    size = path.stat().st_size
    if not size:
        return 0, b""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        end = 0 if text[:1] == b"\n" else text.find(b"\r\n\n") + 2
        return (size, b"") if end == 1 else (end, text[end:])


def _parts(tail: bytes) -> Iterator[bytes]:
    """Split a text of parts, each with a line end of one byte in front; lines end with two."""
    part = b""
    for line in tail.split(b"\n")[:-1]:
        if not line:
            if part:
                yield part
            part = b""
        else:
            part += line.removesuffix(b"\r") + b"\n"
    if part:
        yield part
