"""Find where a block of ClickHouse's Native format ends, without decoding a value.

The format says nowhere how long a block is: its end follows from its columns' types. The layouts
are those of ClickHouse's src/DataTypes/Serializations, as written for `FORMAT Native` (no custom
serialization), and are checked by the tests against bytes that the engine made.

It is longer than most modules: it is one format, with all its types and in both directions.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ugc_local.clickhouse.errors import QueryError

MAX_BLOCK_BYTES = 1 << 29
"""A larger block is refused: the server holds it whole."""


Columns = tuple[tuple[str, str], ...]
"""Names and types."""


class Cursor:
    """A growing buffer with a position that may run ahead of what has arrived.

    `pull()` returns the next bytes of the stream, at least one, or raises EOFError.
    """

    def __init__(self, pull: Callable[[], bytes | bytearray | memoryview]) -> None:
        """Begin with nothing; bytes are pulled as they are needed."""
        self._pull = pull
        self.data = bytearray()
        self.position = 0

    def require(self, end: int) -> None:
        """Pull until `end` bytes are here."""
        data = self.data
        while len(data) < end:
            if end > MAX_BLOCK_BYTES:
                raise QueryError(117, f"A block of more than {MAX_BLOCK_BYTES} bytes")
            data += self._pull()

    def skip(self, size: int) -> None:
        """Step over `size` bytes, arrived or not."""
        self.position += size

    def varint(self) -> int:
        """Read an unsigned LEB128 number."""
        result = shift = 0
        while True:
            self.require(self.position + 1)
            byte = self.data[self.position]
            self.position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
            shift += 7
            if shift > 63:
                raise QueryError(117, "A length in the block is not a number")

    def uint64(self) -> int:
        """Read eight bytes, little-endian."""
        start, self.position = self.position, self.position + 8
        self.require(self.position)
        return int.from_bytes(self.data[start : self.position], "little")

    def text(self) -> str:
        """Read a string with its length in front."""
        size = self.varint()
        start, self.position = self.position, self.position + size
        self.require(self.position)
        return self.data[start : self.position].decode("utf-8", "surrogateescape")

    def skip_strings(self, count: int) -> None:
        """Step over `count` strings; the one loop here that runs once a value."""
        data, position = self.data, self.position
        arrived = len(data)
        for _ in range(count):
            if position >= arrived:
                self.require(position + 1)
                arrived = len(data)
            size = data[position]
            if size < 0x80:
                position += size + 1
            else:
                self.position = position
                size = self.varint()
                arrived = len(data)
                position = self.position + size
        self.position = position

    def take(self, end: int) -> bytes:
        """Hand over the first `end` bytes and go on behind them."""
        self.require(end)
        taken = bytes(memoryview(self.data)[:end])
        del self.data[:end]
        self.position = 0
        return taken

    def rest(self) -> bytes:
        """Hand over what has arrived and was not taken."""
        return self.take(len(self.data))


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


def _nothing(cursor: Cursor) -> None:
    """Most types have no state in front of their column."""


@dataclass(frozen=True)
class Layout:
    """How to step over a column: what precedes it once, then `rows` values."""

    body: Callable[[Cursor, int], None]
    prefix: Callable[[Cursor], None] = _nothing


_FIXED_BYTES = {
    **{f"{sign}Int{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)},
    **dict.fromkeys(("Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("BFloat16", "Date", "Enum16"), 2),
    **dict.fromkeys(("Float32", "Date32", "DateTime", "DateTime32", "Time", "IPv4"), 4),
    **dict.fromkeys(("Float64", "DateTime64", "Time64"), 8),
    **dict.fromkeys(("UUID", "IPv6"), 16),
    **{f"Decimal{bits}": bits // 8 for bits in (32, 64, 128, 256)},
}
_DECIMAL_BYTES = ((9, 4), (18, 8), (38, 16), (76, 32))  # by number of digits
_ALIASES = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Ring)",
    "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}
_OPAQUE = frozenset({"AggregateFunction", "JSON", "Object", "Variant", "Dynamic", "Geometry"})


@lru_cache(maxsize=1024)
def layout_of(type_name: str) -> Layout:
    """Return how a column of this type lies on the wire; errors as in `scan_block`."""
    name, arguments = split_type(type_name)
    if name in _OPAQUE:
        raise QueryError(48, f"The embedded server cannot pass on a column of type {type_name}")
    if name in _FIXED_BYTES:
        return _fixed(_FIXED_BYTES[name])
    if name.startswith("Interval"):
        return _fixed(8)
    if name in _ALIASES:
        return layout_of(_ALIASES[name])
    match name, arguments:
        case "String", []:
            return Layout(Cursor.skip_strings)
        case "FixedString", [size]:
            return _fixed(int(size))
        case "Decimal", [digits, *_]:
            return _fixed(next(size for most, size in _DECIMAL_BYTES if int(digits) <= most))
        case "Nullable", [inner]:
            return _nullable(layout_of(inner))
        case "Array", [inner]:
            return _array(layout_of(inner))
        case "Map", [key, value]:
            return _array(_tuple([layout_of(key), layout_of(value)]))
        case "Tuple", elements:
            return _tuple([layout_of(element_type(element)) for element in elements])
        case "Nested", elements:
            return _array(_tuple([layout_of(element_type(element)) for element in elements]))
        case "SimpleAggregateFunction", [_, inner, *_]:
            return layout_of(inner)
        case "LowCardinality", [inner]:
            inner_name, inner_arguments = split_type(inner)
            keys = inner_arguments[0] if inner_name == "Nullable" else inner
            return _low_cardinality(layout_of(keys))
        case _:
            raise QueryError(50, f"Unknown data type: {type_name}")


def _fixed(size: int) -> Layout:
    return Layout(lambda cursor, rows: cursor.skip(size * rows))


def _nullable(inner: Layout) -> Layout:
    def body(cursor: Cursor, rows: int) -> None:
        cursor.skip(rows)
        inner.body(cursor, rows)

    return Layout(body, inner.prefix)


def _array(inner: Layout) -> Layout:
    def body(cursor: Cursor, rows: int) -> None:
        if rows:
            cursor.skip(8 * (rows - 1))
            inner.body(cursor, cursor.uint64())

    return Layout(body, inner.prefix)


def _tuple(elements: list[Layout]) -> Layout:
    if not elements:
        return _fixed(1)

    def prefix(cursor: Cursor) -> None:
        for element in elements:
            element.prefix(cursor)

    def body(cursor: Cursor, rows: int) -> None:
        for element in elements:
            element.body(cursor, rows)

    return Layout(body, prefix)


def _low_cardinality(keys: Layout) -> Layout:
    def prefix(cursor: Cursor) -> None:
        if cursor.uint64() != 1:  # KeysSerializationVersion::SharedDictionariesWithAdditionalKeys
            raise QueryError(117, "An unknown version of LowCardinality keys")

    def body(cursor: Cursor, rows: int) -> None:
        if not rows:
            return
        flags = cursor.uint64()
        if flags & 0xFF > 3 or flags & 0x100 or not flags & 0x200:
            raise QueryError(117, "LowCardinality keys that are not in the block itself")
        keys.body(cursor, cursor.uint64())
        indexes = cursor.uint64()
        if indexes != rows:
            raise QueryError(117, f"{indexes} LowCardinality indexes in a block of {rows} rows")
        cursor.skip(indexes << (flags & 0xFF))

    return Layout(body, prefix)


def split_type(type_name: str) -> tuple[str, list[str]]:
    """Split `Name(a, b(c))` into its name and its arguments."""
    name, bracket, inside = type_name.strip().partition("(")
    if not bracket:
        return name, []
    inside = inside.rstrip()[:-1]
    pieces = [piece.strip() for piece in _split(inside, ",")]
    return name.strip(), pieces if pieces != [""] else []


def element_type(element: str) -> str:
    """Return the type of a tuple's element, which may have a name in front."""
    return _split(element.strip(), " ")[-1] if " " in element else element


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that are neither in brackets nor in quotes."""
    pieces, start, depth, quote, index = [], 0, 0, "", 0
    while index < len(text):
        char = text[index]
        if quote:
            if char == "\\":
                index += 1
            elif char == quote:
                quote = ""
        elif char in "'`\"":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == separator and depth == 0:
            pieces.append(text[start:index])
            start = index + 1
        index += 1
    pieces.append(text[start:])
    return pieces
