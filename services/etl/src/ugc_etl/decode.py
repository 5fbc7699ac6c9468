"""From records to columns; a record that cannot be taken becomes a dead letter by itself.

One record after another for now. What counts is the signature: a decoder that works on a whole
batch takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from ugc_events import DeadLetter, Event, Family, Invalid, Reason, decode_record
from ugc_events.events import EARLIEST_MS, LATEST_MS
from ugc_events.registry import ENVELOPE_COLUMNS

from ugc_etl.native_block import Values, default_of
from ugc_etl.records import Partition, Record

_MISSING_TIME = Invalid(
    "timestamp", Reason.OUT_OF_RANGE, "the record's own timestamp is not between 2020 and 2100"
)


@dataclass(frozen=True, slots=True)
class Columns:
    """The events of a batch, column by column.

    Attributes:
        values: by column name, the envelope's and the family's own.
        user_ids: 16 bytes each, in RFC 9562 order.
        offsets, timestamps_ms: of the records that the rows came from.
        received_at_ms: the API's clock, for how fresh the rows are.
    """

    values: dict[str, Values]
    user_ids: list[bytes]
    offsets: npt.NDArray[np.uint64]
    timestamps_ms: npt.NDArray[np.int64]
    received_at_ms: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user_ids)


def decode(
    family: Family, partition: Partition, records: Sequence[Record], now_ms: int
) -> tuple[Columns, list[DeadLetter]]:
    """Decode the records of one partition. Never raises for the input's sake.

    `now_ms` is when the dead letters were first seen.
    """
    events: list[Event] = []
    taken: list[Record] = []
    dead_letters: list[DeadLetter] = []
    for record in records:
        event = decode_record(family, record.value)
        if not isinstance(event, Invalid) and not EARLIEST_MS <= record.timestamp_ms <= LATEST_MS:
            event = _MISSING_TIME
        if isinstance(event, Invalid):
            dead_letters.append(_dead_letter(partition, record, event, now_ms))
        else:
            events.append(event)
            taken.append(record)
    return _columns(family, events, taken), dead_letters


def _columns(family: Family, events: list[Event], records: list[Record]) -> Columns:
    rows = len(events)
    user_ids = [event.user_id.bytes for event in events]
    values: dict[str, Values] = {
        column.name: _field(column.name, column.type, family, events)
        for column in (*ENVELOPE_COLUMNS, *family.columns)
    }
    values["user_id"] = user_ids
    values["received_at"] = received_at = np.array(values["received_at"], np.int64)
    return Columns(
        values=values,
        user_ids=user_ids,
        offsets=np.fromiter((record.offset for record in records), np.uint64, rows),
        timestamps_ms=np.fromiter((record.timestamp_ms for record in records), np.int64, rows),
        received_at_ms=received_at,
    )


def _field(name: str, type_name: str, family: Family, events: list[Event]) -> list[Any]:
    if name == "type":
        tags = {t: str(t.__struct_config__.tag) for t in family.types}
        return [tags[type(event)] for event in events]
    if all(name in event_type.__struct_fields__ for event_type in family.types):
        return list(map(attrgetter(name), events))
    default = default_of(type_name)
    return [getattr(event, name, default) for event in events]


def _dead_letter(partition: Partition, record: Record, verdict: Invalid, now_ms: int) -> DeadLetter:
    return DeadLetter(
        topic=partition.topic,
        topic_id=partition.topic_id,
        partition=partition.number,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
        timestamp_ms=record.timestamp_ms,
        field=verdict.field,
        reason=verdict.reason,
        detail=verdict.detail,
        first_seen_ms=now_ms,
    )
