"""What is encoded here is read back by the driver's own reader, which knows nothing of us."""

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest
from clickhouse_driver.bufferedreader import CompressedBufferedReader
from clickhouse_driver.streams.native import BlockInputStream
from hypothesis import given
from hypothesis import strategies as st
from ugc_etl.native_block import (
    Block,
    can_encode,
    constant_column,
    default_of,
    encode_column,
    varint,
)
from ugc_etl.schema import raw_columns
from ugc_events import FAMILIES

VALUES = {
    "UUID": st.uuids(),
    "String": st.text(max_size=300),
    "LowCardinality(String)": st.sampled_from(["", "tv", "phone"]) | st.text(max_size=5),
    "UInt8": st.integers(0, 2**8 - 1),
    "UInt16": st.integers(0, 2**16 - 1),
    "UInt32": st.integers(0, 2**32 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Nullable(UUID)": st.none() | st.uuids(),
    "Nullable(UInt32)": st.none() | st.integers(0, 2**32 - 1),
    "Nullable(UInt8)": st.none() | st.integers(0, 2**8 - 1),
    "Nullable(Bool)": st.none() | st.booleans(),
    "Nullable(String)": st.none() | st.text(max_size=20),
    "Map(String, String)": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4),
}


def read(block: Block) -> list[tuple]:
    """The columns as the driver reads them from the bytes."""
    data = [block.to_native()]
    context = SimpleNamespace(
        server_info=SimpleNamespace(used_revision=0, get_timezone=lambda: "UTC"),
        settings={},
        client_settings={
            "use_numpy": False, "strings_as_bytes": False, "strings_encoding": "utf-8",
            "input_format_null_as_default": False, "namedtuple_as_json": True,
            "server_side_params": False, "quota_key": "", "opentelemetry_traceparent": None,
            "opentelemetry_tracestate": "", "insert_block_size": 1 << 20, "round_robin": False,
        },
    )  # fmt: skip
    reader = CompressedBufferedReader(data.pop, 1 << 20)
    got = BlockInputStream(reader, context).read()
    assert not data
    assert got.columns_with_types == [(c.name, c.type) for c in block.columns]
    return [tuple(column) for column in got.get_columns()]


@given(st.data(), st.integers(1, 20))
def test_every_type_comes_back_as_it_was(data, rows):
    columns = {
        name: data.draw(st.lists(values, min_size=rows, max_size=rows))
        for name, values in VALUES.items()
    }
    block = Block(rows, tuple(encode_column(name, name, v) for name, v in columns.items()))
    assert read(block) == [tuple(values) for values in columns.values()]


def test_a_dictionary_grows_past_one_byte_and_past_two():
    for size in (255, 256, 70_000):
        texts = [f"t{n}" for n in range(size)]
        column = encode_column("c", "LowCardinality(String)", [*texts, "t0", ""])
        assert read(Block(size + 2, (column,))) == [(*texts, "t0", "")]


def test_times_are_counts_since_the_epoch():
    ms = 1_790_000_000_123
    columns = (
        encode_column("a", "DateTime64(3, 'UTC')", np.array([ms])),
        encode_column("b", "DateTime('UTC')", [ms // 1000]),
    )
    at = datetime.fromtimestamp(ms / 1000, UTC)
    assert read(Block(1, columns)) == [(at,), (at.replace(microsecond=0),)]


def test_uuids_are_taken_as_objects_bytes_or_an_array():
    ids = [UUID(int=n << 64 | n + 7) for n in range(3)]
    array = np.frombuffer(b"".join(u.bytes for u in ids), np.uint8).reshape(3, 16)
    encoded = {
        encode_column("u", "UUID", given_ids).data
        for given_ids in (ids, [u.bytes for u in ids], array)
    }
    assert len(encoded) == 1
    assert read(Block(3, (encode_column("u", "UUID", ids),))) == [tuple(ids)]


def test_a_constant_is_the_same_as_its_repetition():
    for type_name, value in (("UUID", UUID(int=77)), ("UInt32", 5), ("DateTime", 1_700_000_000)):
        assert constant_column("c", type_name, value, 4) == encode_column(
            "c", type_name, [value] * 4
        )


def test_a_column_is_replaced_in_its_place():
    block = Block(1, (encode_column("a", "UInt8", [1]), encode_column("b", "UInt8", [2])))
    assert read(block.replacing(encode_column("a", "UInt8", [9]))) == [(9,), (2,)]


def test_every_column_of_every_table_has_an_encoder_and_a_default_that_it_takes():
    for family in FAMILIES:
        for column in raw_columns(family):
            assert can_encode(column.type), column
            encoded = encode_column(column.name, column.type, [default_of(column.type)])
            assert len(read(Block(1, (encoded,)))) == 1


def test_a_type_without_an_encoder_is_named():
    assert not can_encode("AggregateFunction(sum, UInt64)")
    with pytest.raises(ValueError, match=r"Array\(UInt8\)"):
        encode_column("a", "Array(UInt8)", [])


@given(st.integers(0, 2**63))
def test_varints_are_leb128(number):
    value = 0
    for shift, byte in enumerate(varint(number)):
        value |= (byte & 0x7F) << 7 * shift
    assert value == number
