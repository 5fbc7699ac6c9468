"""What is read from Kafka, and where it was read."""

from __future__ import annotations

from typing import NamedTuple

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


class Record(NamedTuple):
    """A record of a partition; `timestamp_ms` is Kafka's, not the client's clock."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
