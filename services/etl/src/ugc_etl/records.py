"""What is read from Kafka, and where it was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from ugc_events.dead_letters import Headers


class Partition(NamedTuple):
    """A partition of one life of a topic.

    Attributes:
        topic: the topic's name, with the deployment's prefix.
        topic_id: the broker's id of the topic as UUID text: a topic made anew has another one,
            and its offsets begin again.
        number: the partition's number.
    """

    topic: str
    topic_id: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


class KeyAndHeaders(NamedTuple):
    """What a record has beside its value; only a dead letter needs it."""

    key: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one topic as they were read, column by column.

    Those of a partition are in the order of their offsets; partitions may be mixed.

    Attributes:
        partitions: those that have records here.
        owners: for each record, the place of its partition in `partitions`.
        offsets: for each record.
        timestamps_ms: Kafka's, not the client's clock.
        values: for each record.
        key_and_headers: of the record at a place; looked up only where they are needed, since
            that costs more than all else.
    """

    partitions: Sequence[Partition]
    owners: npt.NDArray[np.intp]
    offsets: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.int64]
    values: Sequence[bytes | None]
    key_and_headers: Callable[[int], KeyAndHeaders]

    def __len__(self) -> int:
        return len(self.values)
