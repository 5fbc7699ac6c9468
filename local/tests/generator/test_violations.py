from datetime import date

import pytest
from ugc_events import FAMILIES, Invalid, decode_record
from ugc_local.generator.identity import Identities
from ugc_local.generator.messages import Refusal
from ugc_local.generator.pieces import Broken, Flush, Rogue
from ugc_local.generator.plan import Plan
from ugc_local.generator.render import Renderer, day_start_ms
from ugc_local.generator.violations import MALFORMED, POISON
from verdict import verdicts

PLAN = Plan(5, date(2026, 1, 15), 0)
USER = Identities(5).viewer(3)
NOON_MS = 12 * 3_600_000


@pytest.mark.parametrize("kind", range(len(MALFORMED)))
@pytest.mark.parametrize("viewer", range(4))  # each spells times in its own way
def test_a_malformed_event_gets_exactly_its_refusal(kind: int, viewer: int) -> None:
    broken = Broken(kind, film=7, session=0, serial=11, at_ms=NOON_MS)
    render = Renderer(PLAN.seed, PLAN.day, PLAN.catalogue)
    flush = Flush(NOON_MS, (broken,), again=False)
    request = render.request(viewer, USER, flush)
    told = render.facts(viewer, flush)
    assert (told.facts, told.refusals) == ([], [MALFORMED[kind].refusal])
    assert request.expected == (MALFORMED[kind].refusal,)
    received_at_ms = day_start_ms(PLAN.day) + NOON_MS + 1_000
    assert verdicts(request, received_at_ms) == [MALFORMED[kind].refusal]


@pytest.mark.parametrize("kind", range(len(POISON)))
def test_poison_gets_exactly_its_refusal(kind: int) -> None:
    rogue = Rogue(NOON_MS, (kind + 0.5) / len(POISON), film=7, serial=11)
    poison = Renderer(PLAN.seed, PLAN.day, PLAN.catalogue).poison(3, USER, rogue)
    assert poison.expected == POISON[kind].refusal
    (family,) = (family for family in FAMILIES if family.topic == poison.topic)
    verdict = decode_record(family, poison.value)
    assert isinstance(verdict, Invalid)
    assert Refusal(verdict.field, verdict.reason.value) == poison.expected
    assert poison.key.startswith(str(USER).encode())
    # The broker's default limit is 1 MiB: poison must reach the topic.
    assert len(poison.value or b"") < 500_000


def test_every_malformed_kind_is_told_from_the_others() -> None:
    assert len({violation.refusal for violation in MALFORMED}) == len(MALFORMED)


def test_every_family_is_poisoned() -> None:
    assert {violation.family for violation in POISON} == {family.name for family in FAMILIES}
