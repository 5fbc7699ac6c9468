"""What the generator hands to the sender: requests of the apps, and records of rogue writers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


class Refusal(NamedTuple):
    """What must be said of an event that breaks the contract."""

    field: str
    reason: str


Expected = str | Refusal
"""The answer due to one event: its own `event_id` where it must be accepted."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call of `POST /v1/events`.

    Attributes:
        user_id: the viewer, for the token.
        body: a JSON array of events, or one bare object.
        expected: what must be answered to each event, in order.
        again: a client's retry: the very bytes of an earlier request of this viewer.
    """

    user_id: UUID
    body: bytes
    expected: tuple[Expected, ...]
    again: bool


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that some rogue writer puts straight into Kafka.

    Attributes:
        topic: a family's topic, without the deployment's prefix.
        key, value, headers: the record; `value` may be None.
        expected: what the ETL must say of it.
    """

    topic: str
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    expected: Refusal
