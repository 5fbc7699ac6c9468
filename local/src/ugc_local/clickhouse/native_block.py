"""Find where a block of ClickHouse's Native format ends, without decoding a value.

The format says nowhere how long a block is: its end follows from its columns' types.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.native_layout import Cursor, layout_of

Columns = tuple[tuple[str, str], ...]
"""Names and types."""


@dataclass(frozen=True)
class BlockShape:
    """The columns (name, type) and the number of rows of a block.

    `flags_at` are the positions of the bytes that say how a column is serialized.
    """

    columns: Columns
    rows: int
    flags_at: tuple[int, ...] = ()


def skip_block_info(cursor: Cursor) -> None:
    """Step over the numbered fields in front of a block; `QueryError` 117 for an unknown one."""
    sizes = {1: 1, 2: 4}  # is_overflows, bucket_num
    while number := cursor.varint():
        if number not in sizes:
            raise QueryError(117, f"Unknown field {number} of a block's info")
        cursor.skip(sizes[number])


def scan_block(cursor: Cursor, *, flags: bool = False) -> BlockShape:
    """Move `cursor` from the first byte of a block behind its last one.

    With `flags`, each column says whether its serialization is a custom one, as from revision
    54454 on. Raises `QueryError` 48 for a type whose length cannot be told from outside
    (AggregateFunction, JSON, Variant, Dynamic and the like) and for custom serializations, 50 for
    a type that is unknown.
    """
    width, rows = cursor.varint(), cursor.varint()
    columns, flags_at = [], []
    for _ in range(width):
        name, type_name = cursor.text(), cursor.text()
        columns.append((name, type_name))
        if flags:
            flags_at.append(cursor.position)
            if cursor.varint():
                raise QueryError(48, "The embedded server knows no custom serializations")
        if rows:
            layout = layout_of(type_name)
            layout.prefix(cursor)
            layout.body(cursor, rows)
    cursor.require(cursor.position)
    return BlockShape(tuple(columns), rows, tuple(flags_at))


FLAGS_REVISION = 54454
"""From here on a column says whether its serialization is a custom one."""
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Field 1 (is_overflows) is false, field 2 (bucket_num) is -1, no more fields."""


def from_revision(pieces: Iterable[bytes], revision: int) -> Iterator[bytes]:
    """Yield blocks as `FORMAT Native` has them from a stream as a client of `revision` writes it.

    Errors as in `scan_block`, and `QueryError` 33 for a stream that is cut off.
    """
    source = iter(pieces)

    def pull() -> bytes:
        for piece in source:
            if piece:
                return piece
        raise EOFError

    cursor = Cursor(pull)
    while True:
        try:
            cursor.require(1)
        except EOFError:
            return
        try:
            skip_block_info(cursor)
            cursor.take(cursor.position)
            shape = scan_block(cursor, flags=revision >= FLAGS_REVISION)
        except EOFError:
            raise QueryError(33, "Cannot read all data: a block is cut off") from None
        data = bytearray(cursor.take(cursor.position))
        for position in reversed(shape.flags_at):
            del data[position]
        yield bytes(data)


def loses_time_zone(type_name: str) -> bool:
    """Tell whether the engine's `FORMAT Native` leaves the time zone out, as for old clients."""
    return type_name.startswith("DateTime(")


def restore_time_zones(data: bytes, columns: Columns, *, flags: bool = False) -> bytes:
    """Return a block with the types that `columns` say where a time zone is missing.

    With `flags`, each column is followed by the byte of `scan_block`. A column of which no end can
    be found hides those behind it: they stay as they are, or with `flags`, `QueryError` 48.
    """
    last = max(
        (index for index, (_, wanted) in enumerate(columns) if flags or loses_time_zone(wanted)),
        default=-1,
    )
    cursor = Cursor(_no_more)
    cursor.data += data
    _, rows = cursor.varint(), cursor.varint()
    pieces, copied = [], 0
    for index, (_, wanted) in enumerate(columns[: last + 1]):
        cursor.text()
        start = cursor.position
        given = cursor.text()
        if loses_time_zone(wanted):
            pieces += [data[copied:start], _text(wanted)]
            copied = cursor.position
        if flags:
            pieces += [data[copied : cursor.position], b"\0"]
            copied = cursor.position
        if rows and index < last:
            try:
                layout = layout_of(given)
            except QueryError:
                if flags:
                    raise
                break
            layout.prefix(cursor)
            layout.body(cursor, rows)
    return b"".join([*pieces, data[copied:]])


def to_revision(data: bytes, columns: Columns, revision: int) -> bytes:
    """Return a block of `FORMAT Native` as a client of `revision` reads it."""
    if not revision:
        return data
    return BLOCK_INFO + restore_time_zones(data, columns, flags=revision >= FLAGS_REVISION)


def split_blocks(data: bytes) -> list[tuple[BlockShape, bytes]]:
    """Split a whole result into its blocks; errors as in `scan_block`."""
    cursor = Cursor(_no_more)
    cursor.data += data
    found = []
    while cursor.data:
        shape = scan_block(cursor)
        found.append((shape, cursor.take(cursor.position)))
    return found


def encode_header(columns: Columns) -> bytes:
    """Encode a block of no rows: what names and types a result or an INSERT has."""
    texts = (_text(text) for column in columns for text in column)
    return b"".join([_varint(len(columns)), b"\0", *texts])


def _no_more() -> bytes:
    raise EOFError("a block is cut off")


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
