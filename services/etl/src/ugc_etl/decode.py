"""From records to rows; a record that cannot be taken becomes a dead letter by itself.

Canonical records are parsed many at once (`canonical`). Every other record goes through
`ugc_events.decode_record` by itself, so what is accepted is decided there alone. Which types and
columns there are comes from the registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ugc_events import DeadLetter, Event, Family, Invalid, Reason, decode_record
from ugc_events.events import EARLIEST_MS, LATEST_MS
from ugc_events.registry import ENVELOPE_COLUMNS, Column

from ugc_etl.canonical import SLACK_BYTES, Form, form_of
from ugc_etl.native_block import array_type, default_of, to_array
from ugc_etl.records import Partition, Records
from ugc_etl.row_table import Rows

_CHUNK = (
    1024  # records: what is made of them stays in the caches, and in memory that is not given back
)
_LETTER_BYTES = 1024  # of a dead letter's objects, beside key, value and headers
_OWN_TEXT = frozenset({"String", "Nullable(String)", "Map(String, String)"})

_MISSING_TIME = Invalid(
    "timestamp", Reason.OUT_OF_RANGE, "the record's own timestamp is not between 2020 and 2100"
)


PLACE = np.dtype(
    [("offset", "<i8"), ("timestamp_ms", "<i8"), ("value_bytes", "<i8"), ("held_bytes", "<i8")]
)
"""What is known of every record, row or dead letter; the last is about what it takes in memory."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Records of one partition, in the order of their offsets, each a row or a dead letter.

    Attributes:
        places: of every record, as `PLACE`.
        rows: of the records that were taken.
        dead_letters: of the others.
    """

    places: npt.NDArray[np.void]
    rows: Rows
    dead_letters: Sequence[DeadLetter]

    def __len__(self) -> int:
        return len(self.places)

    def between(self, first: int, last: int) -> Decoded:
        """The records at the places [first, last), of which there is one at least."""
        if (first, last) == (0, len(self)):
            return self
        places = self.places[first:last]
        start, end = int(places["offset"][0]), int(places["offset"][-1]) + 1
        return Decoded(places, *cut(self.rows, self.dead_letters, start, end))


def cut(
    rows: Rows, dead_letters: Sequence[DeadLetter], start: int, end: int
) -> tuple[Rows, list[DeadLetter]]:
    """Those of the offsets [start, end)."""
    first, last = np.searchsorted(rows["_offset"], np.array([start, end], np.uint64))
    return rows.between(int(first), int(last)), [
        letter for letter in dead_letters if start <= letter.offset < end
    ]


class Decoder:
    """Decodes the records of one family; used by one thread."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._columns = (*ENVELOPE_COLUMNS, *family.columns)
        types = [(column.name, array_type(column.type)) for column in self._columns]
        self._objects = [name for name, element in types if element.hasobject]
        self._cell_type = np.dtype(
            [
                *((name, element) for name, element in types if not element.hasobject),
                ("_timestamp", "<i8"),
                ("_offset", "<u8"),
            ]
        )
        self._forms = [form for t in family.types if (form := form_of(t)) is not None]
        self._slack = bytes(max((form.width for form in self._forms), default=0) + SLACK_BYTES)
        # Elsewhere one object stands for all texts that are equal.
        self._texts_are_shared = not any(column.type in _OWN_TEXT for column in family.columns)

    def decode(self, records: Records, now_ms: int) -> Mapping[Partition, Decoded]:
        """Decode records of the family's topic. Never raises for the input's sake.

        `now_ms` is when the dead letters were first seen.
        """
        places = np.zeros(len(records), PLACE)
        places["offset"] = records.offsets
        places["timestamp_ms"] = records.timestamps_ms
        places["value_bytes"] = sizes = _sizes(records.values)
        rows, taken, verdicts = self._rows(records.values, sizes)
        late = (records.timestamps_ms < EARLIEST_MS) | (records.timestamps_ms > LATEST_MS)
        verdicts |= dict.fromkeys(np.flatnonzero(late & taken).tolist(), _MISSING_TIME)
        taken &= ~late
        rows.cells["_timestamp"] = records.timestamps_ms
        rows.cells["_offset"] = records.offsets
        places["held_bytes"] = self._cell_type.itemsize + 8 * len(self._objects) + PLACE.itemsize
        if not self._texts_are_shared:
            places["held_bytes"] += sizes
        letters: dict[int, list[DeadLetter]] = {}
        for place, verdict in sorted(verdicts.items()):
            letter = _dead_letter(records, place, verdict, now_ms)
            letters.setdefault(int(records.owners[place]), []).append(letter)
            places["held_bytes"][place] = _held_bytes(letter)
        if len(records.partitions) == 1:
            own_rows = rows.where(taken)
            return {records.partitions[0]: Decoded(places, own_rows, letters.get(0, []))}
        return self._dealt_out(records, places, rows, taken, letters)

    def _dealt_out(
        self,
        records: Records,
        places: npt.NDArray[np.void],
        rows: Rows,
        taken: npt.NDArray[np.bool_],
        letters: Mapping[int, Sequence[DeadLetter]],
    ) -> Mapping[Partition, Decoded]:
        """To each partition its own; copies, so that none holds the memory of all."""
        order = np.argsort(records.owners, kind="stable")
        ends = np.searchsorted(records.owners[order], np.arange(len(records.partitions)), "right")
        decoded = {}
        start = 0
        for number, partition in enumerate(records.partitions):
            own = order[start : ends[number]]
            start = ends[number]
            decoded[partition] = Decoded(
                places.take(own), rows.at(own[taken[own]]), letters.get(number, [])
            )
        return decoded

    def _rows(
        self, values: Sequence[bytes | None], sizes: npt.NDArray[np.int64]
    ) -> tuple[Rows, npt.NDArray[np.bool_], dict[int, Invalid]]:
        """A row for every value, whether it holds anything, and what is wrong where it does not."""
        rows = Rows(
            np.zeros(len(values), self._cell_type),
            {name: np.empty(len(values), np.object_) for name in self._objects},
        )
        taken = np.zeros(len(values), np.bool_)
        for start in range(0, len(values), _CHUNK):
            end = start + _CHUNK
            self._take_canonical(
                values[start:end], sizes[start:end], rows.between(start, end), taken[start:end]
            )
        verdicts: dict[int, Invalid] = {}
        events: dict[int, Event] = {}
        for place in np.flatnonzero(~taken).tolist():
            event = decode_record(self._family, values[place])
            if isinstance(event, Invalid):
                verdicts[place] = event
            else:
                events[place] = event
        if events:
            places = np.array(list(events))
            for column in self._columns:
                rows[column.name][places] = _values(column, self._family, list(events.values()))
            taken[places] = True
        return rows, taken, verdicts

    def _take_canonical(
        self,
        values: Sequence[bytes | None],
        sizes: npt.NDArray[np.int64],
        rows: Rows,
        taken: npt.NDArray[np.bool_],
    ) -> None:
        ends = np.cumsum(sizes)
        starts = ends - sizes
        try:
            joined = b"".join([*values, self._slack])  # type: ignore[list-item]
        except TypeError:  # a record without a value
            joined = b"".join([*(value or b"" for value in values), self._slack])
        buffer = np.frombuffer(joined, np.uint8)
        for form in self._forms:
            if len(self._forms) == 1:
                found = np.arange(len(values))
            else:
                found = np.flatnonzero(~taken & form.begins(buffer, starts))
            if not len(found):
                continue
            matched = form.match(buffer, starts[found], ends[found])
            at = slice(None) if len(found) == len(rows) else found
            for column in self._columns:
                _fill(rows[column.name], at, column, form, matched.values.get(column.name))
            taken[found] = matched.taken


def _fill(
    cells: npt.NDArray[Any],
    at: slice | npt.NDArray[np.intp],
    column: Column,
    form: Form,
    values: npt.NDArray[Any] | None,
) -> None:
    """Put into the cells of a column, which are zero or None, what a form has found."""
    if values is not None:
        if values.dtype.names and not cells.dtype.names:
            values = np.where(values["null"] == 1, np.array(None), values["value"])
        elif cells.dtype.names and not values.dtype.names:
            cells = cells["value"]
        cells[at] = values
    elif column.name == "type":
        cells[at] = str(form.event_type.__struct_config__.tag)
    elif cells.dtype.names:
        cells["null"][at] = 1
    elif cells.dtype.hasobject:
        cells[at] = default_of(column.type)


def _sizes(values: Sequence[bytes | None]) -> npt.NDArray[np.int64]:
    try:
        return np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
    except TypeError:  # a record without a value
        return np.fromiter((len(value or b"") for value in values), np.int64, len(values))


def _held_bytes(letter: DeadLetter) -> int:
    parts = [letter.key, letter.value, *(content for _, content in letter.headers)]
    # Twice: the producer copies a letter to send it, and blocks of all sizes leave holes behind.
    return _LETTER_BYTES + 2 * sum(len(part or b"") for part in parts)


def _values(column: Column, family: Family, events: Sequence[Event]) -> npt.NDArray[Any]:
    default = default_of(column.type)
    tags = {t: str(t.__struct_config__.tag) for t in family.types}
    return to_array(
        column.type,
        [
            tags[type(event)] if column.name == "type" else getattr(event, column.name, default)
            for event in events
        ],
    )


def _dead_letter(records: Records, place: int, verdict: Invalid, now_ms: int) -> DeadLetter:
    partition = records.partitions[records.owners[place]]
    key, headers = records.key_and_headers(place)
    return DeadLetter(
        topic=partition.topic,
        topic_id=partition.topic_id,
        partition=partition.number,
        offset=int(records.offsets[place]),
        key=key,
        value=records.values[place],
        headers=headers,
        timestamp_ms=int(records.timestamps_ms[place]),
        field=verdict.field,
        reason=verdict.reason,
        detail=verdict.detail,
        first_seen_ms=now_ms,
    )
