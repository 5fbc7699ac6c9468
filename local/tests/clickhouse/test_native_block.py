import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.native_block import (
    encode_header,
    from_revision,
    scan_block,
    to_revision,
)
from ugc_local.clickhouse.native_layout import MAX_BLOCK_BYTES, Cursor

SCALARS = st.sampled_from(
    [
        *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)),
        *("Float32", "Float64", "String", "Bool", "UUID", "IPv4", "IPv6"),
        *("Date", "Date32", "DateTime", "DateTime('Europe/Berlin')", "DateTime64(3, 'UTC')"),
        *("FixedString(7)", "Enum8('a' = 1, 'b, (c' = 2)", "Enum16('it\\'s' = 500)"),
        *("Decimal(9, 2)", "Decimal(18, 4)", "Decimal(38, 6)", "Decimal(76, 10)"),
    ]
)
LOW = st.sampled_from(
    [
        "LowCardinality(String)",
        "LowCardinality(Nullable(String))",
        "LowCardinality(FixedString(3))",
        "LowCardinality(UInt16)",
        "LowCardinality(Nullable(DateTime))",
    ]
)
LEAVES = st.one_of(SCALARS, LOW, SCALARS.map(lambda inner: f"Nullable({inner})"))
KEYS = st.sampled_from(["String", "UInt32", "LowCardinality(String)", "UUID"])
TYPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda one: f"Array({one})"),
        st.tuples(KEYS, inner).map(lambda pair: f"Map({pair[0]}, {pair[1]})"),
        st.lists(inner, min_size=1, max_size=3).map(lambda many: f"Tuple({', '.join(many)})"),
        st.tuples(inner, inner).map(lambda two: f"Tuple(`a b` {two[0]}, c {two[1]})"),
    ),
    max_leaves=4,
)


def feed(data: bytes, piece_bytes: int) -> Cursor:
    pieces = iter(range(0, len(data), piece_bytes))

    def pull() -> bytes:
        start = next(pieces, None)
        if start is None:
            raise EOFError
        return data[start : start + piece_bytes]

    return Cursor(pull)


@pytest.mark.integration
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    types=st.lists(TYPES, min_size=1, max_size=3),
    rows=st.sampled_from([1, 2, 3, 300]),
    seed=st.integers(0, 1000),
    piece_bytes=st.sampled_from([1, 7, 4096]),
)
def test_the_end_of_the_engines_own_blocks_is_found(server, types, rows, seed, piece_bytes):
    structure = ", ".join(f"c{index} {name}" for index, name in enumerate(types))
    literal = structure.replace("\\", "\\\\").replace("'", "\\'")
    reply = server.http(
        body=(
            f"SELECT * FROM generateRandom('{literal}', {seed}, 5, 4) LIMIT {rows} FORMAT Native"
            " SETTINGS max_block_size = 100, print_pretty_type_names = 0"
        ).encode(),
        allow_suspicious_low_cardinality_types="1",
        flatten_nested="0",
    )
    assert reply.status == 200, reply.body
    cursor = feed(reply.body, piece_bytes)
    found, taken = 0, b""
    while len(taken) < len(reply.body):
        shape = scan_block(cursor)
        assert [name for name, _ in shape.columns] == [f"c{i}" for i in range(len(types))]
        found += shape.rows
        taken += cursor.take(cursor.position)
    assert (taken, found) == (reply.body, rows)


@pytest.mark.integration
@pytest.mark.parametrize(
    "expression",
    [
        "NULL",
        "[]",
        "[[], [[]]]",
        "map()",
        "tuple()",
        "[tuple()]",
        "toIntervalDay(3)",
        "toTime(now())",
        "(1.5, 2.5)::Point",
        "[[(1, 2)]]::Polygon",
        "CAST([], 'Array(LowCardinality(String))')",
        "CAST(map(), 'Map(LowCardinality(String), Array(LowCardinality(String)))')",
        "CAST([], 'Array(Tuple(LowCardinality(String), Nullable(UInt8)))')",
        "CAST(5, 'SimpleAggregateFunction(sum, UInt64)')",
        "CAST('x', 'Enum8(\\'x\\' = 1)')",
        "repeat('x', 300)",
        "toDecimal256(1, 3)",
        "CAST(1.5, 'BFloat16')",
        "toTime64(now(), 3)",
        "CAST([(1, 'a'), (2, 'b')], 'Nested(x UInt8, y LowCardinality(String))')",
    ],
)
def test_special_values(server, expression):
    data = server.http(body=f"SELECT {expression} AS v, 7::UInt8 AS w FORMAT Native".encode()).body
    cursor = feed(data, 5)
    assert scan_block(cursor).rows == 1
    assert cursor.position == len(data)


@pytest.mark.integration
def test_many_low_cardinality_keys(server):
    sql = (
        "SELECT CAST(toString(number), 'LowCardinality(String)') AS v FROM numbers(70000)"
        " FORMAT Native SETTINGS max_block_size = 70000, low_cardinality_max_dictionary_size = 0"
    )
    data = server.http(body=sql.encode()).body
    cursor = feed(data, 1 << 16)
    rows = 0
    while data:
        rows += scan_block(cursor).rows
        data = data[len(cursor.take(cursor.position)) :]
    assert rows == 70000


def test_a_header_is_a_block_of_no_rows():
    columns = (("a", "UInt8"), ("ü" * 100, "AggregateFunction(sum, UInt8)"))
    data = encode_header(columns)
    cursor = feed(data, 3)
    shape = scan_block(cursor)
    assert (shape.columns, shape.rows, cursor.position) == (columns, 0, len(data))


def test_a_cut_block_is_not_taken_for_a_whole_one():
    whole = encode_header((("a", "String"),))
    with pytest.raises(EOFError):
        scan_block(feed(whole[:-1], 2))
    with pytest.raises(EOFError):
        scan_block(feed(b"\x01\x02\x01a\x06String\x01x\x05y", 2))


def test_a_length_that_cannot_be_is_refused():
    with pytest.raises(QueryError) as refusal:
        scan_block(feed(b"\xff" * 12, 4))
    assert refusal.value.code == 117
    claimed = b"\x01\x01\x01a\x05UInt8" + b"\0" * 4
    huge = claimed.replace(b"\x01\x01\x01a", b"\x01\xff\xff\xff\xff\x0f\x01a")
    with pytest.raises(QueryError, match=str(MAX_BLOCK_BYTES)):
        scan_block(feed(huge, 4))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_block_or_refused(data):
    cursor = feed(data, 16)
    try:
        scan_block(cursor)
    except (EOFError, QueryError):
        return
    assert cursor.position <= len(data)


class TestRevisions:
    """Blocks as clients of the native protocol write them, over HTTP."""

    @pytest.mark.parametrize("revision", [54405, 54453, 54454, 54460])
    def test_there_and_back(self, revision):
        columns = (("a", "UInt8"), ("s", "String"), ("t", "DateTime('UTC')"))
        plain = b"\x03\x02\x01a\x05UInt8\1\2\x01s\x06String\1x\1y\x01t\x08DateTime\0\0\0\0\1\0\0\0"
        sent = to_revision(plain, columns, revision)
        found = list(from_revision([sent[:9], sent[9:] + sent], revision))
        assert found == [plain.replace(b"\x08DateTime", b"\x0fDateTime('UTC')")] * 2

    def test_without_a_revision_nothing_changes(self):
        assert to_revision(b"anything", (("a", "UInt8"),), 0) == b"anything"

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"\x07\0\1\1\1a\5UInt8\1", 117),  # an unknown field in front
            (b"\0\1\1\1a\5UInt8\1\1", 48),  # a custom serialization
            (b"\0\1\1\1a\5UInt8\0", 33),  # cut off
        ],
    )
    def test_what_cannot_be_read(self, data, code):
        with pytest.raises(QueryError) as refusal:
            list(from_revision([data], 54454))
        assert refusal.value.code == code
