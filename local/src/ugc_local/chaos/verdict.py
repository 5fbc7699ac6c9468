"""Looks at the stores and judges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ugc_events import FAMILIES, DeadLetter, Event, Family
from ugc_events.registry import DEAD_LETTERS_TOPIC

from ugc_local.chaos import marts
from ugc_local.chaos.outcome import Verdict
from ugc_local.chaos.places import Ledger, Place, columns, select, tell
from ugc_local.chaos.recipe import Recipe
from ugc_local.chaos.truth import Truth
from ugc_local.demo.analyst import Analyst
from ugc_local.kafka.client import KafkaClient

_SHOWN_FIGURES = 5


def judge(client: KafkaClient, admin: Analyst, recipe: Recipe, truth: Truth) -> Verdict:
    """Compare rows, dead letters and marts with what was acknowledged.

    Raises QueryError and KafkaClientError.
    """
    ledger = Ledger(recipe, truth)
    for family in FAMILIES:
        tell(ledger, _rows(admin, family))
    for place, value in _letters(client):
        ledger.letter(place, value)
    verdict = ledger.close()
    events = _events(recipe, truth, ledger.appeared)
    figures = marts.differences(marts.expected(events), marts.found(admin))
    verdict.differences += figures[:_SHOWN_FIGURES]
    if len(figures) > _SHOWN_FIGURES:
        verdict.differences.append(f"mart: {len(figures)} figures differ in all")
    return verdict


def _rows(admin: Analyst, family: Family) -> Iterator[tuple[Place, list[str]]]:
    values = ", ".join(map(select, columns(family)))
    for line in admin.stream(f"SELECT _partition, _offset, {values} FROM ugc.{family.table}"):
        yield (family.topic, int(line[0]), int(line[1])), line[2:]


def _letters(client: KafkaClient) -> Iterator[tuple[Place, bytes | None]]:
    seen: set[Place] = set()
    for record in client.read_all(DEAD_LETTERS_TOPIC):
        if record.value is None:
            continue
        letter = DeadLetter.from_record(record.value, record.headers)
        place = letter.topic, letter.partition, letter.offset
        if place not in seen:
            seen.add(place)
            yield place, letter.value


def _events(recipe: Recipe, truth: Truth, appeared: set[int]) -> Iterator[Event]:
    acknowledged = (number for _, _, number in truth.numbers())
    for number in chain(acknowledged, appeared):
        if (event := recipe.record(number).event) is not None:
            yield event
