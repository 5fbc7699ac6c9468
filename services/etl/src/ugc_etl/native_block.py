"""Rows as ClickHouse's Native format, built column by column from arrays.

The driver's own writers take Python objects one by one and bound an insert (times cost 4 s of
CPU per million). The format: `src/Formats/NativeWriter.cpp` and `src/DataTypes/Serializations`
of ClickHouse.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

Values = Sequence[Any] | npt.NDArray[Any]
"""A column's values. Numbers and times (counts since the epoch in the column's own unit) are
sequences or arrays of integers; UUIDs are `UUID`s, 16 bytes each, or an array (rows, 16) of bytes
in RFC 9562 order; Nullable columns hold None, or are structures of `null` and `value`; Map
columns hold dicts. Arrays of the type's `array_type` are the quickest."""

_INTEGERS = {
    f"{sign}Int{bits}": f"<{kind}{bits // 8}"
    for sign, kind in (("", "i"), ("U", "u"))
    for bits in (8, 16, 32, 64)
}
_INTEGERS |= {"Bool": "<u1", "DateTime": "<u4", "DateTime64": "<i8", "Float64": "<f8"}

_DICTIONARY_VERSION = struct.pack("<Q", 1)  # SharedDictionariesWithAdditionalKeys
_ADDITIONAL_KEYS = 1 << 9
_INDEX_TYPES = ((0, "<u1"), (1, "<u2"), (2, "<u4"))


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """A column's name, its ClickHouse type, and its values as the Native format has them."""

    name: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """Rows as columns, ready for the wire."""

    rows: int
    columns: tuple[EncodedColumn, ...]

    def replacing(self, column: EncodedColumn) -> Block:
        """The block with another column of the same name in the same place."""
        return replace(
            self, columns=tuple(column if c.name == column.name else c for c in self.columns)
        )

    def to_native(self) -> bytes:
        """The bytes of `FORMAT Native`."""
        parts = [varint(len(self.columns)), varint(self.rows)]
        for column in self.columns:
            parts += [_string(column.name), _string(column.type), column.data]
        return b"".join(parts)


def encode_column(name: str, type_name: str, values: Values) -> EncodedColumn:
    """Encode one column. Raises ValueError for a type that has no encoder here."""
    return EncodedColumn(name, type_name, _encoder(type_name)(values))


def constant_column(name: str, type_name: str, value: Any, rows: int) -> EncodedColumn:
    """A column of one value repeated; of a type whose values stand side by side."""
    return EncodedColumn(name, type_name, _encoder(type_name)([value]) * rows)


def can_encode(type_name: str) -> bool:
    """Whether `encode_column` knows the type."""
    try:
        _encoder(type_name)
    except ValueError:
        return False
    return True


def array_type(type_name: str) -> np.dtype[Any]:
    """The element of an array that holds a column of this type. Raises ValueError.

    UUIDs are 16 bytes in RFC 9562 order, Nullable is a structure of `null` (0 or 1) and `value`,
    and what has no fixed size is an object, or None.
    """
    outer, _, rest = type_name.partition("(")
    if outer == "Nullable":
        inner = array_type(rest.removesuffix(")"))
        return inner if inner.hasobject else np.dtype([("null", "<u1"), ("value", inner)])
    if outer == "UUID":
        return np.dtype(("<u1", (16,)))
    _encoder(type_name)
    return np.dtype(_INTEGERS.get(outer, "O"))


def to_array(type_name: str, values: Sequence[Any]) -> npt.NDArray[Any]:
    """Python values as an array of the type's `array_type`; Nullable may hold None."""
    outer, _, rest = type_name.partition("(")
    if outer == "Nullable" and not array_type(type_name).hasobject:
        inner = rest.removesuffix(")")
        default = default_of(inner)
        array = np.zeros(len(values), array_type(type_name))
        array["null"] = [value is None for value in values]
        array["value"] = to_array(inner, [default if v is None else v for v in values])
        return array
    if outer == "UUID":
        return np.frombuffer(b"".join(value.bytes for value in values), "<u1").reshape(-1, 16)
    element = array_type(type_name)
    array = np.empty(len(values), element)
    array[:] = values
    return array


def varint(number: int) -> bytes:
    """LEB128, as everything of variable length begins."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_LENGTHS = [varint(length) for length in range(4096)]


def _encoder(type_name: str) -> Callable[[Values], bytes]:
    outer, _, rest = type_name.partition("(")
    inner = rest.removesuffix(")")
    if outer in _INTEGERS:
        dtype = np.dtype(_INTEGERS[outer])
        return lambda values: np.asarray(values, dtype).tobytes()
    if outer == "UUID":
        return _uuids
    if outer == "String":
        return _strings
    if type_name == "LowCardinality(String)":
        return _low_cardinality
    if outer == "Nullable":
        return _nullable(inner)
    if type_name == "Map(String, String)":
        return _maps
    raise ValueError(f"no encoder for the ClickHouse type {type_name}")


def _uuids(values: Values) -> bytes:
    if not isinstance(values, np.ndarray):
        joined = b"".join(v.bytes if isinstance(v, UUID) else v for v in values)
        values = np.frombuffer(joined, np.uint8)
    # A UUID is two little-endian halves, the first half first.
    return np.ascontiguousarray(values).reshape(-1).view(">u8").astype("<u8").tobytes()


def _string(text: str) -> bytes:
    return _strings([text])


def _strings(values: Values) -> bytes:
    parts: list[bytes] = []
    for text in _listed(values):
        encoded = text.encode()
        length = len(encoded)
        parts.append(_LENGTHS[length] if length < len(_LENGTHS) else varint(length))
        parts.append(encoded)
    return b"".join(parts)


def _low_cardinality(values: Values) -> bytes:
    if not len(values):
        return _DICTIONARY_VERSION
    # The first entry of a dictionary stands for the type's default.
    keys: dict[str, int] = {"": 0}
    positions = [keys.setdefault(text, len(keys)) for text in _listed(values)]
    index_type, dtype = next(
        (number, dtype) for number, dtype in _INDEX_TYPES if len(keys) <= 1 << 8 * int(dtype[2])
    )
    return b"".join(
        (
            _DICTIONARY_VERSION,
            struct.pack("<QQ", index_type | _ADDITIONAL_KEYS, len(keys)),
            _strings(list(keys)),
            struct.pack("<Q", len(values)),
            np.asarray(positions, dtype).tobytes(),
        )
    )


def _nullable(inner: str) -> Callable[[Values], bytes]:
    encode = _encoder(inner)
    default = default_of(inner)

    def encode_nullable(values: Values) -> bytes:
        if isinstance(values, np.ndarray) and values.dtype.names:
            return values["null"].tobytes() + encode(values["value"])
        nulls = np.fromiter((value is None for value in values), np.uint8, len(values))
        return nulls.tobytes() + encode([default if v is None else v for v in values])

    return encode_nullable


def _listed(values: Values) -> Sequence[Any]:
    """Quicker to go through than an array."""
    return values.tolist() if isinstance(values, np.ndarray) else values


def _maps(values: Sequence[Mapping[str, str]] | npt.NDArray[Any]) -> bytes:
    sizes = np.fromiter((len(entries) for entries in values), "<u8", len(values))
    return b"".join(
        (
            np.cumsum(sizes, dtype="<u8").tobytes(),
            _strings([key for entries in values for key in entries]),
            _strings([text for entries in values for text in entries.values()]),
        )
    )


def default_of(type_name: str) -> Any:
    """What a column of this type holds where an event has no such field."""
    outer = type_name.partition("(")[0]
    return {
        "Nullable": None,
        "UUID": UUID(int=0),
        "String": "",
        "LowCardinality": "",
        "Map": {},
    }.get(outer, 0)
