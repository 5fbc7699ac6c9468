import msgspec
import pytest
from ugc_events import FAMILIES, Family, topics
from ugc_events.registry import ENVELOPE_COLUMNS


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_columns_are_exactly_the_fields_of_the_familys_types(family: Family) -> None:
    fields = {f.name for t in family.types for f in msgspec.structs.fields(t)} | {"type"}
    assert {c.name for c in (*ENVELOPE_COLUMNS, *family.columns)} == fields


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_field_that_may_be_absent_is_none_then_and_its_column_can_say_so(family: Family) -> None:
    types = {column.name: column.type for column in family.columns}
    for event_type in family.types:
        for field in msgspec.structs.fields(event_type):
            if field.name in types and not field.required:
                assert field.default is None
                assert types[field.name].startswith("Nullable(")


def test_every_type_belongs_to_one_family_and_has_its_own_name() -> None:
    types = [t for family in FAMILIES for t in family.types]
    tags = [t.__struct_config__.tag for t in types]
    assert len(set(types)) == len(types)
    assert len(set(tags)) == len(tags)


def test_a_prefix_moves_every_topic() -> None:
    plain, moved = topics(), topics("eu.")
    assert [spec.name for spec in moved] == ["eu." + spec.name for spec in plain]
    assert len({spec.name for spec in plain}) == len(plain) == len(FAMILIES) + 2


def test_dead_letters_and_control_are_compacted() -> None:
    compacted = {s.name for s in topics() if s.config["cleanup.policy"] == "compact"}
    assert compacted == {"ugc.dead-letters.v1", "ugc.etl.control.v1"}
