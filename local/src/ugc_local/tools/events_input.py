"""Events from a file or a pipe: one object, an array, or one object a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

import msgspec
from ugc_events import MAX_RECORD_BYTES, Invalid, Reason, split_batch


class InputError(Exception):
    """The input as a whole cannot be read; the message says where and why."""


class Given(NamedTuple):
    """One event of the input, undecoded, and where it stands: `line 3` or `event 3`."""

    place: str
    data: bytes

    def fault(self) -> Invalid | None:
        """What the API would say of it, where that would keep others of its request out too."""
        if len(self.data) > MAX_RECORD_BYTES:
            return Invalid("", Reason.TOO_LARGE, f"larger than {MAX_RECORD_BYTES} bytes")
        try:
            msgspec.json.decode(self.data, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            return Invalid("", Reason.WRONG_TYPE, "an event is a JSON object")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Invalid("", Reason.NOT_JSON, str(error))
        return None


def read_events(source: BinaryIO) -> Iterator[Given]:
    """The events of `source` in their order.

    If the first line that is not empty is a whole JSON object, each line is an event: they are
    read as they come, in memory that does not grow. Otherwise all of it is read as one JSON text.
    Raises InputError.
    """
    lines = enumerate(source, 1)
    for number, line in lines:
        if not line.strip():
            continue
        if line.lstrip().startswith(b"{") and _is_json(line):
            return _lines(chain([(number, line)], lines))
        return _document(b"".join(chain([line], (rest for _, rest in lines))), number)
    raise InputError("there is no event in the input")


def _lines(numbered: Iterable[tuple[int, bytes]]) -> Iterator[Given]:
    for number, line in numbered:
        if text := line.strip():
            yield Given(f"line {number}", text)


def _document(text: bytes, first_line: int) -> Iterator[Given]:
    items = split_batch(text)
    if isinstance(items, Invalid) or not _is_json(text):
        raise InputError(
            "the input is neither one JSON text nor one JSON object a line: "
            f"what begins in line {first_line} is not JSON"
        )
    if not items:
        raise InputError("the array is empty")
    return (Given(f"event {number}", item.strip()) for number, item in enumerate(items, 1))


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
