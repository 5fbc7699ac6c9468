"""Which offsets the tables cover, asked of ClickHouse in memory that does not grow with the rows.

The offsets of a partition are looked at in chunks of 2^20. One pass over the columns of the place
counts, for every chunk, rows and different offsets (a roaring bitmap of a chunk has at most 128
KiB, so a billion offsets take 125 MB); only chunks that are not whole are asked for their gaps,
as ranges, and only chunks with more rows than offsets for what is doubled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from ugc_etl.operations.ports import Sql
from ugc_etl.protocol.ranges import Ranges
from ugc_etl.schema import Deployment

CHUNK = 1 << 20
_MOST_MISSING = 1 << 24
"""Missing offsets that one query may hold as an array of 4 bytes each."""
_MOST_CHUNKS = 5000
MOST_RANGES = 200_000


class TooScatteredError(Exception):
    """There are more ranges than can be told: a smaller range of offsets must be asked for."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A replayed range whose generations have not been sorted out yet, see the table `replays`."""

    generation: int
    topic_id: str
    partition: int
    start: int
    end: int
    state: str

    @property
    def uncounted(self) -> str:
        """The condition for rows that do not count: the new before it is whole, then the old."""
        generations = "=" if self.state == "building" else "<"
        return (
            f"(_topic_id = toUUID('{UUID(self.topic_id)}') AND _partition = {self.partition}"
            f" AND _offset >= {self.start} AND _offset < {self.end}"
            f" AND _generation {generations} {self.generation})"
        )


@dataclass(frozen=True, slots=True)
class Book:
    """What is asked about: the offsets of one topic id in one raw table.

    Attributes:
        deployment: names the tables.
        table: the raw table's name, without database.
        topic_id: which life of the topic.
        bounds: [start, end) by partition; nothing else is looked at.
        replays: those under way.
        chunk: how many offsets are looked at together.
    """

    deployment: Deployment
    table: str
    topic_id: str
    bounds: Mapping[int, tuple[int, int]]
    replays: Sequence[Replay] = ()
    chunk: int = CHUNK

    def where(self, topic_id: str, partition: str, offset: str) -> str:
        """The condition on a table's columns of the place."""
        size = max(self.bounds) + 1
        bounds = [self.bounds.get(number, (0, 0)) for number in range(size)]
        starts = ", ".join(str(start) for start, _ in bounds)
        ends = ", ".join(str(end) for _, end in bounds)
        return (
            f"{topic_id} = toUUID('{UUID(self.topic_id)}') AND {partition} < {size}"
            f" AND {offset} >= [{starts}]::Array(UInt64)[{partition} + 1]"
            f" AND {offset} < [{ends}]::Array(UInt64)[{partition} + 1]"
        )

    @property
    def rows(self) -> str:
        """FROM and WHERE of the rows that count."""
        hidden = " OR ".join(replay.uncounted for replay in self.replays)
        return (
            f"FROM {self.deployment.table(self.table)}"
            f" WHERE {self.where('_topic_id', '_partition', '_offset')}"
            + (f" AND NOT ({hidden})" if hidden else "")
        )

    @property
    def ledger(self) -> str:
        """FROM and WHERE of the erased places."""
        return (
            f"FROM {self.deployment.table('erased_places')}"
            f" WHERE {self.where('topic_id', 'partition', 'offset')}"
        )

    def places(self, condition: str = "1") -> str:
        """A subquery: every place of a row or of the ledger, with `is_row`."""
        return (
            f"(SELECT _partition AS p, _offset AS o, _generation AS g, 1 AS is_row {self.rows} AND"
            f" ({condition.format(p='_partition', o='_offset')})"
            f" UNION ALL SELECT partition AS p, offset AS o, 0 AS g, 0 AS is_row {self.ledger} AND"
            f" ({condition.format(p='partition', o='offset')}))"
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows of a doubled place come from.

    Attributes:
        part: of the table, as it is called now: merges rename parts.
        generation, attempt, insert_by_s: of the insert; the deadline tells one insert from another.
    """

    part: str
    generation: int
    attempt: int
    insert_by_s: int


@dataclass(frozen=True, slots=True)
class Doubled:
    """The offsets [start, end) have several rows each, all from the same inserts."""

    start: int
    end: int
    rows: int
    sources: tuple[Source, ...]


@dataclass(slots=True)
class Coverage:
    """What the tables have of one partition.

    Attributes:
        rows: those that count.
        places: different offsets that have a row.
        erased: different offsets in the ledger.
        first_row: the least offset of a row; None without rows.
        gaps: offsets of the bounds that have neither a row nor an entry in the ledger.
        doubled: offsets with more than one row.
        erased_with_row: offsets that have both, as ranges.
        generations: rows by generation.
    """

    rows: int = 0
    places: int = 0
    erased: int = 0
    first_row: int | None = None
    gaps: Ranges = field(default_factory=Ranges)
    doubled: tuple[Doubled, ...] = ()
    erased_with_row: Ranges = field(default_factory=Ranges)
    generations: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Chunk:
    partition: int
    number: int
    rows: int
    places: int
    erased: int
    covered: int
    first: int
    last: int
    first_row: int
    last_generation: int

    @property
    def missing(self) -> int:
        """Between its first and its last covered offset."""
        return self.last - self.first + 1 - self.covered


def open_replays(sql: Sql, deployment: Deployment) -> list[Replay]:
    """The replays whose old and new rows are both there."""
    rows = sql.execute(
        "SELECT generation, toString(topic_id), partition, start, end,"
        f" argMax(state, updated_at) AS newest FROM {deployment.table('replays')}"
        " GROUP BY generation, topic_id, partition, start, end"
        " HAVING newest IN ('building', 'replacing') ORDER BY ALL"
    )
    return [Replay(*row) for row in rows]


def former_topic_ids(sql: Sql, deployment: Deployment, table: str) -> set[str]:
    """The topic ids that the table has rows of, current and former."""
    rows = sql.execute(f"SELECT DISTINCT toString(_topic_id) FROM {deployment.table(table)}")
    return {str(topic_id) for (topic_id,) in rows}


def covered(sql: Sql, book: Book) -> dict[int, Coverage]:
    """What is covered of every partition of the bounds. Raises TooScatteredError."""
    chunks = _chunks(sql, book)
    gaps = _gaps(sql, book, chunks)
    found = {}
    for partition in sorted(book.bounds):
        ours = [chunk for chunk in chunks if chunk.partition == partition]
        rows = sum(chunk.rows for chunk in ours)
        found[partition] = Coverage(
            rows=rows,
            places=sum(chunk.places for chunk in ours),
            erased=sum(chunk.erased for chunk in ours),
            first_row=min((chunk.first_row for chunk in ours if chunk.places), default=None),
            gaps=gaps[partition],
            doubled=tuple(
                doubled
                for chunk in ours
                if chunk.rows > chunk.places
                for doubled in _doubled(sql, book, partition, chunk.number)
            ),
            erased_with_row=Ranges.of(
                span
                for chunk in ours
                if chunk.places + chunk.erased > chunk.covered
                for span in _erased_with_row(sql, book, partition, chunk.number)
            ),
            generations={0: rows} if rows else {},
        )
    if any(chunk.last_generation for chunk in chunks):
        for coverage in found.values():
            coverage.generations.clear()
        counts = f"SELECT _partition, _generation, count() {book.rows} GROUP BY ALL ORDER BY ALL"
        for partition, generation, rows in sql.execute(counts):
            found[partition].generations[generation] = rows
    return found


def _chunks(sql: Sql, book: Book) -> list[_Chunk]:
    """Every chunk with a row or an entry of the ledger, in order of partition and offset."""
    within = f"toUInt32(o % {book.chunk})"
    if sql.execute(f"SELECT 1 {book.ledger} LIMIT 1"):
        counts = (
            f"groupBitmapIf({within}, is_row = 1), groupBitmapIf({within}, is_row = 0),"
            f" groupBitmap({within})"
        )
        source = book.places()
    else:
        # One set instead of three: they are most of the work.
        counts = f"groupBitmap({within}) AS places, 0, places"
        source = (
            f"(SELECT _partition AS p, _offset AS o, _generation AS g, 1 AS is_row {book.rows})"
        )
    rows = sql.execute(
        f"SELECT p, intDiv(o, {book.chunk}) AS chunk, countIf(is_row), {counts},"
        f" min(o), max(o), minIf(o, is_row = 1), max(g) FROM {source}"
        " GROUP BY p, chunk ORDER BY p, chunk"
    )
    return [_Chunk(*row) for row in rows]


def _gaps(sql: Sql, book: Book, chunks: Sequence[_Chunk]) -> dict[int, Ranges]:
    spans: dict[int, list[tuple[int, int]]] = {}
    for partition, (start, end) in book.bounds.items():
        ours = [(chunk.first, chunk.last + 1) for chunk in chunks if chunk.partition == partition]
        # Between a chunk's first and last offsets all is covered but what is asked for below.
        spans[partition] = list(Ranges.of(ours).missing(start, end).parts)
    for group in _groups([chunk for chunk in chunks if chunk.missing]):
        for partition, span in _gaps_within(sql, book, group):
            spans[partition].append(span)
        if sum(map(len, spans.values())) > MOST_RANGES:
            raise TooScatteredError(
                f"{book.table} has more than {MOST_RANGES:,} gaps, up to offset {group[-1].last:,}"
                f" of partition {group[-1].partition}: ask for a smaller range of offsets"
            )
    return {partition: Ranges.of(found) for partition, found in spans.items()}


def _groups(chunks: Sequence[_Chunk]) -> Iterator[list[_Chunk]]:
    """As many chunks as one query can hold the missing offsets of."""
    group: list[_Chunk] = []
    missing = 0
    for chunk in chunks:
        if group and (missing + chunk.missing > _MOST_MISSING or len(group) == _MOST_CHUNKS):
            yield group
            group, missing = [], 0
        group.append(chunk)
        missing += chunk.missing
    if group:
        yield group


def _gaps_within(
    sql: Sql, book: Book, chunks: Sequence[_Chunk]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """The gaps of these chunks, each with its partition."""
    numbers = ", ".join(f"({chunk.partition}, {chunk.number})" for chunk in chunks)
    size = book.chunk
    low = min(chunk.first for chunk in chunks)
    high = max(chunk.last for chunk in chunks) + 1
    condition = f"{{o}} >= {low} AND {{o}} < {high}"
    if len(partitions := {chunk.partition for chunk in chunks}) == 1:
        condition += f" AND {{p}} = {partitions.pop()}"
    rows = sql.execute(
        f"WITH bitmapBuild(range(toUInt32({size}))) AS whole,"
        " bitmapToArray(bitmapAndnot(bitmapSubsetInRange(whole, low, high), seen)) AS gap"
        " SELECT p, chunk,"
        " arrayFilter((x, step) -> step != 1, gap, arrayDifference(gap)),"
        " arrayFilter((x, next) -> next != x + 1, gap, arrayPushBack(arrayPopFront(gap), 0))"
        f" FROM (SELECT p, intDiv(o, {size}) AS chunk,"
        f" groupBitmapState(toUInt32(o % {size})) AS seen,"
        f" toUInt32(min(o) % {size}) AS low, toUInt32(max(o) % {size} + 1) AS high"
        f" FROM {book.places(condition)} WHERE (p, intDiv(o, {size})) IN ({numbers})"
        " GROUP BY p, chunk) ORDER BY p, chunk SETTINGS max_block_size = 64"
    )
    for partition, chunk, firsts, lasts in rows:
        base = chunk * size
        for first, last in zip(firsts, lasts, strict=True):
            yield partition, (base + first, base + last + 1)


def _doubled(sql: Sql, book: Book, partition: int, chunk: int) -> Iterator[Doubled]:
    of_chunk = (
        f"{book.rows} AND _partition = {partition} AND _offset >= {chunk * book.chunk}"
        f" AND _offset < {(chunk + 1) * book.chunk}"
    )
    rows = sql.execute(
        "SELECT min(o), max(o) + 1, sum(rows), any(sources) FROM ("
        " SELECT o, rows, sources, o - row_number() OVER (PARTITION BY sources ORDER BY o) AS run"
        " FROM (SELECT _offset AS o, count() AS rows, arraySort(groupArray("
        "  (_part, _generation, _attempt, toUnixTimestamp(_insert_by)))) AS sources"
        f" {of_chunk} AND _offset IN"
        f" (SELECT _offset {of_chunk} GROUP BY _offset HAVING count() > 1)"
        f" GROUP BY o)) GROUP BY sources, run ORDER BY min(o) LIMIT {MOST_RANGES}"
    )
    for start, end, count, sources in rows:
        yield Doubled(start, end, count, tuple(Source(*source) for source in sources))


def _erased_with_row(sql: Sql, book: Book, partition: int, chunk: int) -> Iterator[tuple[int, int]]:
    low, high = chunk * book.chunk, (chunk + 1) * book.chunk
    rows = sql.execute(
        "SELECT min(o), max(o) + 1 FROM (SELECT o, o - row_number() OVER (ORDER BY o) AS run"
        f" FROM (SELECT DISTINCT _offset AS o {book.rows} AND _partition = {partition}"
        f" AND _offset >= {low} AND _offset < {high} AND _offset IN"
        f" (SELECT offset {book.ledger} AND partition = {partition}"
        f" AND offset >= {low} AND offset < {high})))"
        f" GROUP BY run ORDER BY run LIMIT {MOST_RANGES}"
    )
    yield from rows
