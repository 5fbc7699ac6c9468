"""Whether everything that was acknowledged is in Kafka, as it was sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from ugc_events import FAMILIES

from ugc_local.kafka.client import KafkaClient

_SHOWN = 12


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        acknowledged: events.
        records: in Kafka; apps repeat what they got no answer to, so there may be more.
        missing: acknowledged events without a record.
        altered: those whose record is not what was sent, or stands twice and differs.
        examples: the first ids of both kinds.
    """

    acknowledged: int = 0
    records: int = 0
    missing: int = 0
    altered: int = 0
    examples: list[str] = field(default_factory=list)


def judge(acknowledged: Mapping[str, Mapping[str, Any]], values: Iterable[bytes]) -> Verdict:
    """Compare events by id, with all their fields, with the records' values."""
    verdict = Verdict(acknowledged=len(acknowledged))
    found: set[str] = set()
    altered: set[str] = set()
    for value in values:
        verdict.records += 1
        record = msgspec.json.decode(value)
        event_id = record["event_id"]
        sent = acknowledged.get(event_id)
        if sent is None:
            continue
        found.add(event_id)
        if any(record.get(name) != given for name, given in sent.items()):
            altered.add(event_id)
    missing = acknowledged.keys() - found
    verdict.missing, verdict.altered = len(missing), len(altered)
    verdict.examples = [f"missing: {event_id}" for event_id in sorted(missing)[:_SHOWN]]
    verdict.examples += [f"altered: {event_id}" for event_id in sorted(altered)[:_SHOWN]]
    return verdict


def everything(client: KafkaClient) -> Iterable[bytes]:
    """The values of all records of all families, to the ends of their topics."""
    for family in FAMILIES:
        for record in client.read_all(family.topic_of("")):
            yield record.value or b"{}"
