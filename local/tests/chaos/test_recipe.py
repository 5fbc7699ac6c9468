from uuid import UUID

from ugc_events import Invalid, decode_record
from ugc_local.chaos.recipe import Recipe

RECIPE = Recipe(seed=7, start_ms=1_790_000_000_000, per_s=500)


def test_records_are_taken_or_refused_as_they_say():
    poison = 0
    for number in range(3000):
        made = RECIPE.record(number)
        decoded = decode_record(made.family, made.value)
        if made.event is None:
            poison += 1
            assert isinstance(decoded, Invalid)
        else:
            assert decoded == made.event
            assert RECIPE.number_of(made.event.event_id) == number
    assert poison == 31


def test_the_same_seed_makes_the_same_records_and_another_seed_others():
    same = Recipe(7, RECIPE.start_ms, RECIPE.per_s)
    other = Recipe(8, RECIPE.start_ms, RECIPE.per_s)
    for number in range(12):
        assert same.record(number) == RECIPE.record(number)
        event = other.record(number).event
        assert event != RECIPE.record(number).event
        assert RECIPE.number_of(event.event_id) is None
    assert RECIPE.number_of(UUID(int=5)) is None
