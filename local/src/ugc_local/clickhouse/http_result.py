"""A SELECT's result as the bytes of a format, in bounded memory: streamed, or through a file."""

import contextlib
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, cast

from ugc_local.clickhouse.engine_session import Session
from ugc_local.clickhouse.gateway import result_columns
from ugc_local.clickhouse.http_request import HEADED_FORMATS, STREAMED_FORMATS
from ugc_local.clickhouse.native_block import Columns, to_revision
from ugc_local.clickhouse.statements import Statement

_PIECE_BYTES = 1 << 20
_IN_MEMORY_BYTES = 1 << 23


@dataclass
class Counts:
    """What has been handed over of a result so far."""

    rows: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class ResultQuestion:
    """A SELECT and how its result is wanted; `revision` is the client's, for Native."""

    statement: Statement
    output_format: str
    params: Mapping[str, str]
    revision: int
    summarised: bool

    @property
    def can_be_streamed(self) -> bool:
        """Whether its bytes may be sent before the query ends."""
        return not self.summarised and (
            self.output_format in STREAMED_FORMATS or self.output_format in HEADED_FORMATS
        )


def streamed(
    session: Session, question: ResultQuestion, counts: Counts
) -> Generator[bytes, None, None]:
    """Yield the result as the engine makes it; closing the generator stops the query."""
    text, output, params = question.statement.text, question.output_format, question.params
    head = b""
    if output in HEADED_FORMATS:
        head = session.run(f"SELECT * FROM (\n{text}\n) LIMIT 0", output, params).data
        yield head
    columns: Columns = ()
    if output == "Native" and question.revision:
        columns = result_columns(session, question.statement, params)
    with contextlib.closing(session.stream(text, output, params)) as answers:
        for answer in answers:
            data = answer.data.removeprefix(head)
            if columns:
                data = to_revision(data, columns, question.revision)
            counts.rows += answer.rows
            counts.size_bytes += len(data)
            yield data


@contextmanager
def in_a_file(session: Session, question: ResultQuestion, counts: Counts) -> Iterator[IO[bytes]]:
    """Run the whole query, then lend its result."""
    if question.can_be_streamed:
        with tempfile.SpooledTemporaryFile(
            _IN_MEMORY_BYTES, dir=str(session.spool_directory)
        ) as file:
            for piece in streamed(session, question, counts):
                file.write(piece)
            file.seek(0)
            yield cast(IO[bytes], file)
        return
    path, answer = session.run_to_file(
        question.statement.text, question.output_format, question.params
    )
    try:
        counts.rows, counts.size_bytes = answer.rows, path.stat().st_size
        with path.open("rb") as result:
            yield result
    finally:
        path.unlink()


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file piece by piece."""
    while piece := file.read(_PIECE_BYTES):
        yield piece
