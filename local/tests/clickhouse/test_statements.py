import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.statements import Action, parse, tokens


@pytest.mark.parametrize(
    ("sql", "head", "target", "columns", "output"),
    [
        ("INSERT INTO t VALUES", "INSERT INTO t", "t", None, "Values"),
        ("insert into t", "insert into t", "t", None, "Values"),
        ("INSERT t VALUES", "INSERT t", "t", None, "Values"),
        (
            "INSERT INTO TABLE db.`a b` (x, `y z`, n.k) VALUES",
            "INSERT INTO TABLE db.`a b` (x, `y z`, n.k)",
            "db.`a b`",
            ("x", "y z", "n.k"),
            "Values",
        ),
        (
            "INSERT INTO t (a) SETTINGS x = 'VALUES', y = 1 FORMAT Native",
            "INSERT INTO t (a) SETTINGS x = 'VALUES', y = 1",
            "t",
            ("a",),
            "Native",
        ),
        ("/* SELECT */ INSERT INTO t -- VALUES\n FORMAT CSV", "", "t", None, "CSV"),
        ("INSERT INTO values VALUES", "INSERT INTO values", "values", None, "Values"),
        ('INSERT INTO "select" (`format`) VALUES', "", '"select"', ("format",), "Values"),
    ],
)
def test_an_insert_with_data(sql, head, target, columns, output):
    found = parse(sql)
    assert found.action is Action.INSERT_DATA
    assert (found.target, found.columns, found.format) == (target, columns, output)
    if head:
        assert found.text == head


@pytest.mark.parametrize(
    ("sql", "data"),
    [
        ("INSERT INTO t VALUES (1), ('a;b')", " (1), ('a;b')"),
        ("INSERT INTO t FORMAT CSV\n 1,2\n", " 1,2\n"),
        ("INSERT INTO t FORMAT TSV  \r\n\tx", "\tx"),
        ("INSERT INTO t FORMAT JSONEachRow {'a':1}", "{'a':1}"),
        ("INSERT INTO t FORMAT CSV", ""),
        ("INSERT INTO t", ""),
    ],
)
def test_where_the_data_begins(sql, data):
    assert sql[parse(sql).data_start :] == data


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT 'VALUES'",
        "INSERT INTO t (a) WITH 1 AS x SELECT x",
        "INSERT INTO t (SELECT 1)",
        "INSERT INTO t (a) (SELECT 1)",
        "INSERT INTO FUNCTION null('x Int8') SELECT 1",
        "INSERT INTO t SETTINGS a = 1 SELECT 1",
    ],
)
def test_an_insert_from_a_query_brings_no_data(sql):
    found = parse(sql)
    assert (found.action, found.text) == (Action.OTHER, sql)


@pytest.mark.parametrize(
    ("sql", "text", "output"),
    [
        ("SELECT 1 FORMAT JSON", "SELECT 1 ", "JSON"),
        ("SELECT 1 FORMAT JSON;", "SELECT 1 ", "JSON"),
        (
            "SELECT 1 FORMAT JSON SETTINGS max_threads = 1",
            "SELECT 1  SETTINGS max_threads = 1",
            "JSON",
        ),
        ("SELECT format('{}', 1)", "SELECT format('{}', 1)", ""),
        ("SELECT 1 AS format", "SELECT 1 AS format", ""),
        ("SELECT 'FORMAT JSON' -- FORMAT CSV", "SELECT 'FORMAT JSON'", ""),
        ("SHOW TABLES FORMAT CSV ;;", "SHOW TABLES ", "CSV"),
        ("SELECT * FROM (SELECT 1 FORMAT JSON)", "SELECT * FROM (SELECT 1 FORMAT JSON)", ""),
    ],
)
def test_the_format_clause_is_split_off(sql, text, output):
    found = parse(sql)
    assert (found.text, found.format) == (text, output)


@pytest.mark.parametrize(
    ("sql", "action"),
    [
        ("SELECT 1", Action.SELECT),
        (" ( SELECT 1 ) UNION ALL SELECT 2", Action.SELECT),
        ("WITH 1 AS x SELECT x", Action.SELECT),
        ("FROM t SELECT a", Action.SELECT),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Action.OTHER),
        ("SET max_threads = 1", Action.SET),
        ("USE db", Action.USE),
        ("SHOW TABLES", Action.OTHER),
        ("SELECT 1 INTO OUTFILE 'x'", Action.OTHER),
    ],
)
def test_actions(sql, action):
    assert parse(sql).action is action


@pytest.mark.parametrize(
    ("sql", "temporary"),
    [
        ("CREATE TEMPORARY TABLE t (a Int8)", True),
        ("create or replace temporary table t (a Int8)", True),
        ("CREATE TABLE temporary (a Int8)", False),
        ("DROP TEMPORARY TABLE t", False),
    ],
)
def test_what_makes_a_temporary_table(sql, temporary):
    assert parse(sql).temporary is temporary


@pytest.mark.parametrize(
    ("sql", "summarised"),
    [
        ("SELECT a, sum(b) FROM t GROUP BY a WITH TOTALS", True),
        ("SELECT 1 SETTINGS extremes = 1", True),
        ("SELECT 'WITH TOTALS'", False),
    ],
)
def test_what_may_bring_totals_or_extremes(sql, summarised):
    assert parse(sql).summarised is summarised


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('x')",
        "SELECT * FROM FiLe ('x')",
        "SELECT * FROM `file`/**/('x')",
        "SELECT * FROM \"file\" -- y\n ('x')",
        "SELECT * FROM “file”('x')",
        "SELECT ‘'’, * FROM file('x') -- '",
        "SELECT 1 AS a$x$, * FROM file('x') -- $x$",
        "SELECT $x$ AS y, * FROM file('x')",
        "SELECT 'a\\'', * FROM file('x') -- '",
        "SELECT 'it''s', * FROM file('x')",
    ],
)
def test_a_call_cannot_hide(sql):
    assert "file" in parse(sql).called


@pytest.mark.parametrize(
    "sql",
    ["SELECT 'file('", "SELECT file", "SELECT $$file($$", "-- file(\nSELECT 1", "SELECT `file(`"],
)
def test_what_is_no_call(sql):
    assert "file" not in parse(sql).called


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("", 62),
        (" ; ", 62),
        ("-- nothing", 62),
        ("INSERT INTO", 62),
        ("INSERT INTO t (a", 62),
        ("INSERT INTO t FORMAT", 62),
        ("INSERT INTO t FROM INFILE 'x'", 48),
        ("SELECT 1; SELECT 2", 62),
        ("SELECT 1); DROP TABLE t; SELECT (1", 62),
        ("DROP TABLE t; no sense (", 62),
        ("INSERT INTO t; DROP TABLE t VALUES", 62),
        ("SELECT 1 FORMAT `JSON; DROP TABLE t`", 73),
        ("INSERT INTO t FORMAT `CSV; DROP TABLE t`", 73),
        ("INSERT INTO t (* EXCEPT(a)) VALUES", 48),
    ],
)
def test_refusals(sql, code):
    with pytest.raises(QueryError) as refusal:
        parse(sql)
    assert refusal.value.code == code


@given(st.text(alphabet=st.sampled_from("aF(); \n'\"`$-/*.,‘“x1\\"), max_size=60))
def test_tokens_cover_the_text_in_order(sql):
    end = 0
    for token in tokens(sql):
        assert sql[token.start : token.end] == token.text != ""
        assert token.start >= end
        end = token.end


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(sql):
    with contextlib.suppress(QueryError):
        assert parse("INSERT INTO t " + sql).text.startswith("INSERT INTO")
