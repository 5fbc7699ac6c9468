"""How a column of each of ClickHouse's types lies in the Native format, to step over its bytes.

The layouts are those of ClickHouse's src/DataTypes/Serializations, as written for `FORMAT Native`
(no custom serialization), and are checked by the tests against bytes that the engine made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ugc_local.clickhouse.errors import QueryError

MAX_BLOCK_BYTES = 1 << 29
"""A larger block is refused: the server holds it whole."""


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
