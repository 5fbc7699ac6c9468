"""Every documented data type, read and written by both clients, with the server as the judge.

A value is given twice: as the SQL that makes it and as what the client's language has for it.
Reading must give the latter; what was written must be, by the server, the former.
https://clickhouse.com/docs/sql-reference/data-types
"""

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_driver.errors import ServerException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.integration

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")
BOTH, NATIVE, HTTP = ("native", "http"), ("native",), ("http",)


@dataclass(frozen=True)
class Case:
    type_name: str
    values: tuple[tuple[str, object], ...]
    clients: tuple[str, ...] = BOTH  # where clickhouse-driver or clickhouse-connect knows the type


def integers(name: str, low: int, high: int) -> Case:
    values = tuple((f"'{value}'", value) for value in sorted({low, 0, 1, high}))
    return Case(name, values)


def plain(type_name: str, *values: object, clients: tuple[str, ...] = BOTH) -> Case:
    """Values that are written in SQL as in Python."""
    return Case(type_name, tuple((repr(value), value) for value in values), clients)


CASES = [
    *(integers(f"Int{bits}", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)),
    *(integers(f"Int{bits}", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (64, 128, 256)),
    *(integers(f"UInt{bits}", 0, 2**bits - 1) for bits in (8, 16, 32, 64, 128, 256)),
    Case("Float32", (("0.5", 0.5), ("-1.5e30", pytest.approx(-1.5e30)), ("'inf'", float("inf")))),
    Case(
        "Float64",
        (
            ("0.1", 0.1),
            ("'-inf'", float("-inf")),
            ("1.7976931348623157e308", 1.7976931348623157e308),
            ("5e-324", 5e-324),
        ),
    ),
    Case("BFloat16", (("0.5", 0.5), ("-2", -2.0)), HTTP),
    Case("Decimal(9, 2)", (("'9999999.99'", Decimal("9999999.99")), ("'-0.01'", Decimal("-0.01")))),
    Case("Decimal(18, 3)", (("'999999999999999.999'", Decimal("999999999999999.999")),)),
    Case(
        "Decimal(38, 10)",
        (
            (
                "'-9999999999999999999999999999.0000000001'",
                Decimal("-9999999999999999999999999999.0000000001"),
            ),
        ),
    ),
    Case(
        "Decimal(76, 20)",
        (("'0.00000000000000000001'", Decimal("0.00000000000000000001")), ("'0'", Decimal(0))),
    ),
    plain("Bool", True, False),
    Case(
        "String",
        (
            ("''", ""),
            ("'Ω ≈ 電影 🎬'", "Ω ≈ 電影 🎬"),
            ("'a\\tb\\nc\\\\d\\'e\\0f'", "a\tb\nc\\d'e\0f"),
            ("repeat('x', 100000)", "x" * 100_000),
        ),
    ),
    Case("FixedString(4)", (("'abcd'", "abcd"), ("'éé'", "éé")), NATIVE),
    Case("FixedString(4)", (("'abcd'", b"abcd"), ("'a'", b"a\0\0\0")), HTTP),
    Case(
        "UUID",
        (
            ("'00000000-0000-0000-0000-000000000000'", uuid.UUID(int=0)),
            (
                "'01234567-89ab-cdef-fedc-ba9876543210'",
                uuid.UUID("01234567-89ab-cdef-fedc-ba9876543210"),
            ),
        ),
    ),
    Case(
        "IPv4",
        (
            ("'0.0.0.1'", IPv4Address("0.0.0.1")),
            ("'255.255.255.255'", IPv4Address("255.255.255.255")),
        ),
    ),
    Case(
        "IPv6",
        (
            ("'::'", IPv6Address("::")),
            ("'2001:db8::ff00:42:8329'", IPv6Address("2001:db8::ff00:42:8329")),
        ),
    ),
    Case("Date", (("'1970-01-01'", dt.date(1970, 1, 1)), ("'2149-06-06'", dt.date(2149, 6, 6)))),
    Case(
        "Date32", (("'1900-01-01'", dt.date(1900, 1, 1)), ("'2299-12-31'", dt.date(2299, 12, 31)))
    ),
    Case(
        "DateTime('UTC')",
        (
            ("'1970-01-01 00:00:00'", dt.datetime(1970, 1, 1, tzinfo=UTC)),
            ("'2106-02-07 06:28:15'", dt.datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC)),
        ),
    ),
    # Twice on the night when summer ends: the same words, an hour apart.
    Case(
        "DateTime('Europe/Berlin')",
        (
            (
                "fromUnixTimestamp(1793493000, 'Europe/Berlin')".replace(
                    "fromUnixTimestamp(", "toDateTime("
                ),
                dt.datetime.fromtimestamp(1793493000, BERLIN),
            ),
            (
                "toDateTime(1793496600, 'Europe/Berlin')",
                dt.datetime.fromtimestamp(1793496600, BERLIN),
            ),
        ),
    ),
    Case(
        "DateTime64(3, 'UTC')",
        (
            (
                "'1900-01-01 00:00:00.000'",
                dt.datetime(1900, 1, 1, tzinfo=UTC),
            ),
            ("'2026-11-22 01:02:03.004'", dt.datetime(2026, 11, 22, 1, 2, 3, 4000, tzinfo=UTC)),
        ),
    ),
    Case(
        "DateTime64(6, 'Europe/Berlin')",
        (("'2026-07-01 02:00:00.000001'", dt.datetime(2026, 7, 1, 2, 0, 0, 1, tzinfo=BERLIN)),),
    ),
    Case(
        "Time",
        (
            ("'00:00:01'", dt.timedelta(seconds=1)),
            ("'23:59:59'", dt.timedelta(hours=23, minutes=59, seconds=59)),
        ),
        HTTP,
    ),
    plain("Enum8('a' = -128, 'b' = 127)", "a", "b"),
    plain("Enum16('' = 0, 'ünï' = 32767)", "", "ünï"),
    Case("Array(Int64)", (("[]", []), ("[-1, 0, 9223372036854775807]", [-1, 0, 2**63 - 1]))),
    Case("Array(Array(Nullable(String)))", (("[]", []), ("[[], ['a', NULL]]", [[], ["a", None]]))),
    Case("Array(LowCardinality(String))", (("[]", []), ("['a', 'a', '']", ["a", "a", ""]))),
    Case("Tuple(UInt8, Nullable(String))", (("(1, NULL)", (1, None)), ("(255, 'x')", (255, "x")))),
    Case("Tuple(a UInt8, b Array(String))", (("(1, ['x'])", (1, ["x"])),), NATIVE),
    Case("Tuple(a UInt8, b Array(String))", (("(1, ['x'])", {"a": 1, "b": ["x"]}),), HTTP),
    Case(
        "Map(String, UInt64)",
        (("map()", {}), ("map('a', 1, 'b', 18446744073709551615)", {"a": 1, "b": 2**64 - 1})),
    ),
    Case(
        "Map(LowCardinality(String), Array(Nullable(UInt8)))",
        (("map('a', [1, NULL])", {"a": [1, None]}),),
    ),
    Case("Nullable(Int32)", (("NULL", None), ("0", 0), ("-5", -5))),
    Case(
        "Nullable(DateTime64(3, 'UTC'))",
        (
            ("NULL", None),
            ("'2026-01-01 00:00:00.001'", dt.datetime(2026, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        ),
    ),
    Case("LowCardinality(String)", (("'a'", "a"), ("''", ""), ("'a'", "a"))),
    Case("LowCardinality(Nullable(String))", (("NULL", None), ("''", ""), ("'z'", "z"))),
    Case("LowCardinality(FixedString(2))", (("'ab'", "ab"),), NATIVE),
    Case("SimpleAggregateFunction(max, UInt32)", (("7", 7),)),
    Case("Point", (("(1.5, -2)", (1.5, -2.0)),)),
    Case("Ring", (("[(0, 0), (1, 0), (1, 1)]", [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]),)),
    Case(
        "Polygon", (("[[(0, 0), (1, 0), (1, 1)], []]", [[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)], []]),)
    ),
    Case("MultiPolygon", (("[[[(0, 0)]]]", [[[(0.0, 0.0)]]]),)),
    Case("Variant(String, UInt64)", (("'a'", "a"), ("5::UInt64", 5), ("NULL", None)), HTTP),
    Case("Dynamic", (("'a'", "a"), ("''", "")), HTTP),
    Case(
        "JSON",
        (("'{}'", {}), ('\'{"a": 1, "b": {"c": ["x", "y"]}}\'', {"a": 1, "b": {"c": ["x", "y"]}})),
        HTTP,
    ),
]

EACH = [(case, client) for case in CASES for client in case.clients]
NAMES = [f"{case.type_name}-{client}" for case, client in EACH]


def same(found: object, wanted: object) -> bool:
    if isinstance(wanted, dt.datetime):
        # A zone of the type comes back; the same moment is not enough.
        offset = wanted.utcoffset()
        if isinstance(found, dt.datetime) and found.tzinfo is None and offset == dt.timedelta(0):
            found = found.replace(tzinfo=UTC)  # clickhouse-connect gives UTC without its name
        return isinstance(found, dt.datetime) and found == wanted and found.utcoffset() == offset
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


@pytest.fixture
def read(native, web):
    def ask(client, sql):
        return native.execute(sql) if client == "native" else web.query(sql).result_rows

    return ask


@pytest.fixture
def write(native, web):
    def put(client, table, rows):
        if client == "native":
            assert native.execute(f"INSERT INTO {table} VALUES", rows) == len(rows)
        else:
            assert web.insert(table, rows).written_rows == len(rows)

    return put


@pytest.mark.parametrize(("case", "client"), EACH, ids=NAMES)
def test_reading(read, case, client):
    """One value a query, then all in one: a block of each, and columns of a block."""
    cells = [f"CAST({sql} AS {case.type_name})" for sql, _ in case.values]
    rows = read(
        client, " UNION ALL ".join(f"SELECT {n} AS n, {cell} AS v" for n, cell in enumerate(cells))
    )
    found = [value for _, value in sorted(rows, key=lambda row: row[0])]
    assert len(found) == len(cells)
    for value, (_, wanted) in zip(found, case.values, strict=True):
        assert same(value, wanted), (value, wanted)


@pytest.mark.parametrize(("case", "client"), EACH, ids=NAMES)
def test_writing(server, write, table, case, client):
    server.ask(f"CREATE TABLE {table} (n UInt32, v {case.type_name}) ENGINE = MergeTree ORDER BY n")
    values = [getattr(value, "expected", value) for _, value in case.values]  # of approx
    write(client, table, [[n, value] for n, value in enumerate(values)])
    for n, (sql, value) in enumerate(case.values):
        wanted = f"toString(CAST({sql} AS {case.type_name}))"
        if value is None:
            assert server.ask(f"SELECT v IS NULL FROM {table} WHERE n = {n}") in ("1", "true")
        else:
            assert server.ask(f"SELECT toString(v) = {wanted} FROM {table} WHERE n = {n}") == "1"


@pytest.mark.parametrize("client", BOTH)
def test_what_a_not_number_is(read, client):
    [(value,)] = read(client, "SELECT CAST('nan' AS Float64)")
    assert value != value  # noqa: PLR0124 (that is what it is)


@pytest.mark.parametrize("client", BOTH)
def test_nested_columns_are_arrays(server, read, write, table, client):
    server.ask(
        f"CREATE TABLE {table} (id UInt8, n Nested(a UInt8, b String))"
        " ENGINE = MergeTree ORDER BY id"
    )
    write(client, table, [[1, [1, 2], ["x", "y"]], [2, [], []]])
    assert [
        tuple(map(list, row)) for row in read(client, f"SELECT n.a, n.b FROM {table} ORDER BY id")
    ] == [([1, 2], ["x", "y"]), ([], [])]


@pytest.mark.parametrize("client", BOTH)
def test_arrays_of_a_nested_must_be_of_one_length(server, native, web, table, client):
    server.ask(
        f"CREATE TABLE {table} (n Nested(a UInt8, b String)) ENGINE = MergeTree ORDER BY tuple()"
    )
    rows = [[[1, 2], ["x"]]]
    if client == "native":
        with pytest.raises(ServerException, match="SIZES_OF_ARRAYS"):
            native.execute(f"INSERT INTO {table} VALUES", rows)
    else:
        with pytest.raises(DatabaseError, match="SIZES_OF_ARRAYS"):
            web.insert(table, rows)


def test_states_of_aggregates_pass_through_http(server, table):
    """Whoever fetches a state as Native or RowBinary can put it back."""
    server.ask(f"CREATE TABLE {table} (s AggregateFunction(uniqExact, UInt64)) ENGINE = Memory")
    for form in ("Native", "RowBinary", "TabSeparated"):
        state = server.request(
            f"SELECT uniqExactState(number) AS s FROM numbers(1000) FORMAT {form}"
        )
        put = server.request(f"INSERT INTO {table} FORMAT {form}", state.body)
        assert put.status == 200, put.body
        assert server.ask(f"SELECT uniqExactMerge(s) FROM {table}") == "1000"


@pytest.mark.parametrize("client", BOTH)
def test_results_without_rows_have_their_columns(server, native, web, client):
    sql = "SELECT 1 AS a, CAST('x' AS LowCardinality(String)) AS b WHERE 0"
    if client == "native":
        rows, columns = native.execute(sql, with_column_types=True)
        assert (rows, columns) == ([], [("a", "UInt8"), ("b", "LowCardinality(String)")])
    else:
        reply = server.request(f"{sql} FORMAT TabSeparatedWithNamesAndTypes")
        assert reply.text == "a\tb\nUInt8\tLowCardinality(String)"
        assert web.query(sql).result_rows == []


@pytest.mark.parametrize("client", BOTH)
def test_inserts_without_rows(server, native, table, client):
    server.ask(f"CREATE TABLE {table} (v String) ENGINE = MergeTree ORDER BY v")
    if client == "native":
        assert native.execute(f"INSERT INTO {table} VALUES", []) == 0
    else:
        assert server.request(f"INSERT INTO {table} FORMAT TabSeparated", b"").status == 200
    assert server.ask(f"SELECT count() FROM {table}") == "0"


@pytest.mark.parametrize("client", BOTH)
def test_defaults_fill_what_an_insert_leaves_out(server, native, web, table, client):
    server.ask(
        f"CREATE TABLE {table} (a UInt8, d String DEFAULT concat('d', toString(a)), m UInt8"
        " MATERIALIZED a + 1, l UInt8 ALIAS a + 2) ENGINE = MergeTree ORDER BY a"
    )
    if client == "native":
        native.execute(f"INSERT INTO {table} (a) VALUES", [(1,)])
    else:
        web.insert(table, [[1]], column_names=["a"])
    assert server.ask(f"SELECT a, d, m, l FROM {table}") == "1\td1\t2\t3"
    assert server.ask(f"SELECT * FROM {table}") == "1\td1"


COLUMNS = {
    "i": ("Int64", st.integers(-(2**63), 2**63 - 1)),
    "w": ("UInt256", st.integers(0, 2**256 - 1)),
    "f": ("Float64", st.floats(allow_nan=False)),
    "s": ("String", st.text(max_size=40)),
    "u": ("UUID", st.uuids()),
    "d": ("Nullable(Date32)", st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2299, 12, 31))),
    "l": ("LowCardinality(Nullable(String))", st.none() | st.text(max_size=3)),
    "a": (
        "Array(Nullable(Int32))",
        st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=5),
    ),
    "m": (
        "Map(String, Array(UInt8))",
        st.dictionaries(st.text(max_size=5), st.lists(st.integers(0, 255), max_size=3), max_size=4),
    ),
    "t": (
        "Tuple(UInt8, Decimal(18, 4))",
        st.tuples(
            st.integers(0, 255), st.integers(-(10**17), 10**17).map(lambda n: Decimal(n).scaleb(-4))
        ),
    ),
}


@pytest.mark.parametrize("client", BOTH)
def test_any_rows_come_back_as_they_were_written(server, native, web, table, client):
    structure = ", ".join(f"{name} {type_name}" for name, (type_name, _) in COLUMNS.items())
    server.ask(f"CREATE TABLE {table} (n UInt32, {structure}) ENGINE = Memory")

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(*(values for _, values in COLUMNS.values())), max_size=20))
    def trip(drawn):
        rows = [(n, *row) for n, row in enumerate(drawn)]
        native.execute(f"TRUNCATE TABLE {table}")
        if client == "native":
            native.execute(f"INSERT INTO {table} VALUES", rows)
            found = native.execute(f"SELECT * FROM {table} ORDER BY n")
        else:
            if rows:
                web.insert(table, [list(row) for row in rows])
            found = web.query(f"SELECT * FROM {table} ORDER BY n").result_rows
        assert len(found) == len(rows)
        for got, wanted in zip(found, rows, strict=True):
            assert same(got, wanted), (got, wanted)

    trip()
