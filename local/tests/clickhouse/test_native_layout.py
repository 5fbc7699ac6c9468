import pytest
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.native_layout import element_type, layout_of, split_type


@pytest.mark.parametrize(
    "type_name",
    [
        "AggregateFunction(uniq, UInt64)",
        "JSON",
        "JSON(max_dynamic_paths = 4)",
        "Object('json')",
        "Variant(UInt8, String)",
        "Array(Dynamic)",
        "Tuple(a UInt8, b Dynamic(max_types = 3))",
    ],
)
def test_opaque_types_are_refused_by_name(type_name):
    with pytest.raises(QueryError, match="cannot pass on") as refusal:
        layout_of(type_name)
    assert refusal.value.code == 48


@pytest.mark.parametrize("type_name", ["", "Strong", "Map(String)", "Array(NoSuch)", "Nullable"])
def test_unknown_types(type_name):
    with pytest.raises(QueryError) as refusal:
        layout_of(type_name)
    assert refusal.value.code == 50


def test_types_are_split_outside_of_quotes_and_brackets():
    assert split_type("Enum8('a, (b' = 1, 'c\\'' = 2)") == (
        "Enum8",
        ["'a, (b' = 1", "'c\\'' = 2"],
    )
    assert split_type("Tuple()") == ("Tuple", [])
    assert element_type("`a b` Map(String, UInt8)") == "Map(String, UInt8)"
    assert element_type("DateTime64(3, 'UTC')") == "DateTime64(3, 'UTC')"
