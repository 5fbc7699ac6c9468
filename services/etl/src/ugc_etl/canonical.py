"""Canonical records, parsed many at once.

The API writes every event the same way: fields in the order of its class, no spaces, lower-case
UUIDs, integers without ornament. A `Form` is what the records of one type then look like, derived
from the class: constant bytes with fields of fixed width in between, and fields that vary. It is
matched against all records at the same time, column by column, with arrays.

It is sound and not complete. A record is taken only if every byte of it, from the first to the
last, was matched, and every value keeps the bounds that its class declares; so what is taken here
`ugc_events.decode_record` takes too, with the same values. What is not taken may be good all the
same (long texts, escapes, other spelling), and is decoded by itself: see `decode`.

Long because every kind of field has its own few lines, and they share the arrays that are matched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import inspect
from ugc_events import Event
from ugc_events.codec import bounds_of

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]

_MAX_TEXT_BYTES = 64
"""Longer texts are not canonical: their width is what every record's window costs."""
_SHORT_TEXT_BYTES = 16
_MAX_KNOWN_TEXTS = 4096
_MAX_DIGITS = 18  # what a signed 64-bit integer always holds

_UUID_GROUPS = ((0, 8), (9, 13), (14, 18), (19, 23), (24, 36))
_UUID_BYTES = 36
_INVALID = 0x100
_ANY_INVALID = np.uint64(_INVALID * 0x0001_0001_0001_0001)
_QUOTE = ord('"')


def _hex_pairs() -> npt.NDArray[np.uint16]:
    """From two lower-case hexadecimal digits, as they lie in memory, to the byte they spell."""
    pairs = np.full(1 << 16, _INVALID, np.uint16)
    for byte in range(256):
        first, second = f"{byte:02x}".encode()
        pairs[first | second << 8] = byte
    return pairs


def _text_ends() -> Flags:
    """Bytes that end a text, or that make it more than its plain characters."""
    ends = np.ones(256, np.bool_)
    ends[0x20:0x7F] = False
    ends[[_QUOTE, ord("\\")]] = True
    return ends


_HEX_PAIRS = _hex_pairs()
_TEXT_ENDS = _text_ends()


@dataclass(frozen=True, slots=True)
class Matched:
    """What one part of a form found.

    Attributes:
        taken: for each record, whether it matched so far.
        at: for each record, the place behind what was matched; meaningless where it did not.
        values: for each record, by field; meaningless where it did not.
    """

    taken: Flags
    at: Places
    values: dict[str, Column]


@dataclass(frozen=True, slots=True)
class _Number:
    """A run of digits of fixed width within a `_Run`."""

    name: str
    place: int
    digits: int
    low: int
    high: int


class _Run:
    """Bytes whose number is known: constants, UUIDs, numbers of so many digits."""

    def __init__(self) -> None:
        self._template = bytearray()
        self._mask = bytearray()
        self._uuids: list[tuple[str, int]] = []
        self._numbers: list[_Number] = []

    @property
    def width(self) -> int:
        return len(self._template)

    def add_constant(self, text: bytes) -> None:
        self._template += text
        self._mask += b"\xff" * len(text)

    def add_uuid(self, name: str) -> None:
        self.add_constant(b'"')
        self._uuids.append((name, self.width))
        for start, end in _UUID_GROUPS:
            self._add_unknown(end - start)
            if end < _UUID_BYTES:
                self.add_constant(b"-")
        self.add_constant(b'"')

    def add_number(self, name: str, digits: int, low: int, high: int) -> None:
        self._numbers.append(_Number(name, self.width, digits, low, high))
        self._add_unknown(digits)

    def match(self, buffer: Bytes, at: Places) -> Matched:
        template, mask, groups, digits_only = self._compiled
        found = _window(buffer, at, 8 * len(template))
        # What was matched becomes zero; what the mask leaves out stays as it was.
        words = found.view(np.uint64)
        words ^= template
        taken = np.bitwise_or.reduce(words & mask, axis=1) == 0
        values: dict[str, Column] = {}
        if self._uuids:
            digits = found.view(groups).astype(digits_only).view("<u2")
            pairs = _HEX_PAIRS.take(digits.reshape(len(at), 16 * len(self._uuids)))
            invalid = np.bitwise_or.reduce(pairs.view(np.uint64), axis=1) & _ANY_INVALID
            taken &= invalid == 0
            ids = pairs.astype(np.uint8)
            for number, (name, _) in enumerate(self._uuids):
                values[name] = ids[:, 16 * number : 16 * number + 16]
        for field in self._numbers:
            digits = found[:, field.place : field.place + field.digits] - np.uint8(ord("0"))
            taken &= (digits < 10).all(axis=1)
            value = digits @ _powers(field.digits)
            # The least value has as many digits, so this refuses leading zeros too.
            taken &= (value >= field.low) & (value <= field.high)
            values[field.name] = value
        return Matched(taken, at + self.width, values)

    @cached_property
    def _compiled(
        self,
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], np.dtype[Any], np.dtype[Any]]:
        """The constants and which bytes they are, in words; the UUIDs' digits, there and alone."""
        width = -(-self.width // 8) * 8
        groups = [
            (place + start, f"V{end - start}")
            for _, place in self._uuids
            for start, end in _UUID_GROUPS
        ]
        names = [str(place) for place, _ in groups]
        formats = [size for _, size in groups]
        return (
            np.frombuffer(bytes(self._template).ljust(width, b"\0"), np.uint64),
            np.frombuffer(bytes(self._mask).ljust(width, b"\0"), np.uint64),
            np.dtype(
                {
                    "names": names,
                    "formats": formats,
                    "offsets": [place for place, _ in groups],
                    "itemsize": width,
                }
            ),
            np.dtype({"names": names, "formats": formats}),
        )

    def _add_unknown(self, size: int) -> None:
        self._template += b"\0" * size
        self._mask += b"\0" * size


@dataclass(frozen=True, slots=True)
class _Integer:
    """An integer that is not negative, of one digit or more."""

    name: str
    low: int
    high: int

    @property
    def width(self) -> int:
        return len(str(self.high))

    def match(self, buffer: Bytes, at: Places) -> Matched:
        digits = _window(buffer, at, self.width + 1) - np.uint8(ord("0"))
        digits[:, -1] = 255  # a number ends here at the latest
        width = (digits >= 10).argmax(axis=1)
        # As if every number filled the window, then back to its own width.
        digits *= np.arange(self.width + 1) < width[:, None]
        value = digits[:, :-1] @ _powers(self.width) // _powers(self.width + 1)[width]
        # A number of no digits, and one that begins with a zero and is more than that.
        taken = (width > 0) & ((digits[:, 0] > 0) | (width == 1))
        taken &= (value >= self.low) & (value <= self.high)
        return Matched(taken, at + width, {self.name: value})


class _KnownTexts(dict[bytes, "str | None"]):
    """From a text's plain bytes to the text, or to None where the field's type refuses it."""

    def __init__(self, field_type: Any) -> None:
        super().__init__()
        self._decoder = msgspec.json.Decoder(field_type)
        self.any_refused = False

    def __missing__(self, text: bytes) -> str | None:
        known: str | None = None
        try:
            known = self._decoder.decode(b'"' + text + b'"')
        except msgspec.ValidationError:
            self.any_refused = True
        self[text] = known
        return known

    def shrink(self) -> None:
        """Forget all, when there are many."""
        if len(self) > _MAX_KNOWN_TEXTS:
            self.clear()
            self.any_refused = False


class _Text:
    """Printable ASCII without quotes and backslashes, up to the quote that ends it.

    The field's own type judges every distinct text.
    """

    def __init__(self, name: str, field_type: Any, max_length: int | None) -> None:
        self._name = name
        self._known = _KnownTexts(field_type)
        self.width = _MAX_TEXT_BYTES if max_length is None else min(max_length, _MAX_TEXT_BYTES)

    def match(self, buffer: Bytes, at: Places) -> Matched:
        # Most texts are short; only where one is not, all are looked at in full width.
        size = min(self.width + 1, _SHORT_TEXT_BYTES)
        found = _window(buffer, at, size)
        ends = _TEXT_ENDS.take(found)
        width = ends.argmax(axis=1)
        if size <= self.width and not ends[np.arange(len(at)), width].all():
            size = self.width + 1
            found = _window(buffer, at, size)
            width = _TEXT_ENDS.take(found).argmax(axis=1)
        taken: Flags = found[np.arange(len(at)), width] == _QUOTE
        found *= np.arange(size) < width[:, None]
        self._known.shrink()
        texts = found.view(f"S{size}")[:, 0].tolist()
        values = np.fromiter(map(self._known.__getitem__, texts), np.object_, len(texts))
        if self._known.any_refused:
            taken &= values != np.array(None)
        return Matched(taken, at + width, {self._name: values})


@dataclass(frozen=True, slots=True)
class _Word:
    """One of a few constant words."""

    name: str
    words: tuple[tuple[bytes, int], ...]

    @property
    def width(self) -> int:
        return max(len(word) for word, _ in self.words)

    def match(self, buffer: Bytes, at: Places) -> Matched:
        taken = np.zeros(len(at), np.bool_)
        value = np.zeros(len(at), np.uint8)
        width = np.zeros(len(at), np.intp)
        for word, meaning in self.words:
            same = _equals(buffer, at, word)
            taken |= same
            value[same] = meaning
            width[same] = len(word)
        return Matched(taken, at + width, {self.name: value})


class _Nullable:
    """`null`, or what the steps match."""

    def __init__(self, name: str, steps: Sequence[_Step]) -> None:
        self._name = name
        self._steps = steps
        self.width: int = max(4, sum(step.width for step in steps))

    def match(self, buffer: Bytes, at: Places) -> Matched:
        taken = _equals(buffer, at, b"null")
        behind = at + 4
        rest = np.flatnonzero(~taken)
        found = _match_all(self._steps, buffer, at[rest])
        taken[rest] = found.taken
        behind[rest] = found.at
        inner = found.values[self._name]
        values = np.zeros(len(at), [("null", np.uint8), ("value", inner.dtype, inner.shape[1:])])
        values["null"] = 1
        values["null"][rest] = 0
        values["value"][rest] = inner
        return Matched(taken, behind, {self._name: values})


_Step = _Run | _Integer | _Text | _Word | _Nullable


class Form:
    """What canonical records of one event type look like."""

    def __init__(self, event_type: type[Event], steps: Sequence[_Step], prefix: bytes) -> None:
        self.event_type = event_type
        self.prefix = prefix
        self._steps = steps
        self.width = sum(step.width for step in steps)
        self._bounds = bounds_of(event_type)

    def begins(self, buffer: Bytes, starts: Places) -> Flags:
        """Which records say that they are of this type, as canonical ones do."""
        return _equals(buffer, starts, self.prefix)

    def match(self, buffer: Bytes, starts: Places, ends: Places) -> Matched:
        """Match the records [starts, ends) of the buffer.

        Behind the last record the buffer has `width` + SLACK_BYTES bytes more. The values are by
        field: integers as int64, UUIDs as (records, 16) bytes in RFC 9562 order, texts as objects,
        truths as 0 and 1; what may be null as structures of `null` and `value`.
        """
        found = _match_all(self._steps, buffer, starts)
        taken = found.taken & (found.at == ends)
        for bound in self._bounds:
            taken &= found.values[bound.field] <= found.values[bound.limit] + bound.slack
        return Matched(taken, found.at, found.values)


SLACK_BYTES = _MAX_TEXT_BYTES + 16
"""How far a step may look beyond its form's width."""


def form_of(event_type: type[Event]) -> Form | None:
    """The form of a type's records; None where something in it has no form here."""
    config = event_type.__struct_config__
    if (
        config.array_like
        or config.omit_defaults
        or not isinstance(config.tag, str)
        or hasattr(event_type, "__post_init__")
    ):
        return None
    head = b'{"%s":%s,' % (str(config.tag_field).encode(), msgspec.json.encode(config.tag))
    steps = _Steps(event_type.VERSION)
    steps.run.add_constant(head)
    for number, field in enumerate(msgspec.structs.fields(event_type)):
        separator = b"," if number else b""
        steps.run.add_constant(b'%s"%s":' % (separator, field.encode_name.encode()))
        if not steps.add(field.name, field.type):
            return None
    steps.run.add_constant(b"}")
    return Form(event_type, steps.all, head)


class _Steps:
    """Steps that follow one another; what has a fixed width joins the run before it."""

    def __init__(self, latest_version: int) -> None:
        self._latest_version = latest_version
        self.run = _Run()
        self.all: list[_Step] = [self.run]

    def add(self, name: str, field_type: Any) -> bool:
        """Add a field's value; whether it can be done."""
        match inspect.type_info(field_type):
            case inspect.UUIDType():
                self.run.add_uuid(name)
            case inspect.BoolType():
                self._add_variable(_Word(name, ((b"true", 1), (b"false", 0))))
            case inspect.IntType(gt=None, lt=None, multiple_of=None, ge=int(low), le=int(high)):
                return self._add_integer(name, low, high)
            case inspect.StrType(max_length=max_length):
                self.run.add_constant(b'"')
                self._add_variable(_Text(name, field_type, max_length))
                self.run.add_constant(b'"')
            case inspect.UnionType(types=types) if len(types) == 2 and get_origin(field_type) in (
                Union,
                UnionType,
            ):
                inner = [kind for kind in get_args(field_type) if kind is not NoneType]
                steps = _Steps(self._latest_version)
                if len(inner) != 1 or not steps.add(name, inner[0]):
                    return False
                self._add_variable(_Nullable(name, steps.all))
            case _:
                return False
        return True

    def _add_integer(self, name: str, low: int, high: int) -> bool:
        if name == "schema_version":
            high = min(high, self._latest_version)  # above it a record is from the future
        digits = len(str(high))
        if low < 0 or digits > _MAX_DIGITS:
            return False
        if len(str(low)) == digits:
            self.run.add_number(name, digits, low, high)
        else:
            self._add_variable(_Integer(name, low, high))
        return True

    def _add_variable(self, step: _Step) -> None:
        self.run = _Run()
        self.all += [step, self.run]


@cache
def _powers(digits: int) -> npt.NDArray[np.int64]:
    """What each digit of a number of so many digits counts."""
    return 10 ** np.arange(digits, dtype=np.int64)[::-1]


def _match_all(steps: Sequence[_Step], buffer: Bytes, at: Places) -> Matched:
    taken = np.ones(len(at), np.bool_)
    values: dict[str, Column] = {}
    for step in steps:
        found = step.match(buffer, at)
        taken &= found.taken
        at = found.at
        values |= found.values
    return Matched(taken, at, values)


def _window(buffer: Bytes, at: Places, width: int) -> Bytes:
    """The `width` bytes from each place on; a copy, (places, width)."""
    every = np.ndarray((len(buffer) - width + 1, width), np.uint8, buffer, strides=(1, 1))
    return every[at]


def _equals(buffer: Bytes, at: Places, word: bytes) -> Flags:
    equal: Flags = (_window(buffer, at, len(word)) == np.frombuffer(word, np.uint8)).all(axis=1)
    return equal
