import pytest
from hypothesis import given
from hypothesis import strategies as st
from ugc_local.clickhouse.identity import introduce, label
from ugc_local.clickhouse.quoting import quote_string, unquote_string
from ugc_local.clickhouse.statements import parse


def introduced(sql):
    return introduce(parse(sql), "my'id", "ann")


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT currentUser()", "SELECT ('ann' AS `currentUser()`)"),
        ("SELECT queryID ( ) AS q", "SELECT ('my\\'id' AS `queryID ( )`) AS q"),
        ("SELECT user, 'user()', user(1)", "SELECT user, 'user()', user(1)"),
        ("SELECT 1 FROM t WHERE u = USER()", "SELECT 1 FROM t WHERE u = ('ann' AS `USER()`)"),
        (
            "SELECT 1 SETTINGS log_comment = 'x\\'y', max_threads = 1",
            "SELECT 1 SETTINGS log_comment = 'my\\'id\nann\nx\\'y', max_threads = 1",
        ),
        ("SELECT query_id FROM my.processes", "SELECT query_id FROM my.processes"),
        (
            "SELECT processes.query_id FROM system.processes",
            "SELECT processes.query_id FROM system.processes",
        ),
    ],
)
def test_what_a_statement_says_of_itself(sql, text):
    assert introduced(sql) == text


def test_the_tables_of_queries():
    text = introduced("SELECT p.user FROM system.processes AS p JOIN `system`.query_log AS l ON 1")
    assert text.startswith("SELECT p.user FROM (SELECT * REPLACE (if(")
    assert "FROM system.processes) AS p JOIN (SELECT * REPLACE (" in text
    assert text.endswith("FROM `system`.query_log) AS l ON 1")


def test_a_kill():
    text = introduced("KILL QUERY WHERE query_id = 'query_id' AND user = 'ann' SYNC")
    assert text.endswith("= 'ann' SYNC")
    assert text.count("Settings['log_comment']") == 4
    assert "= 'query_id'" in text


def test_the_label_holds_three_lines():
    assert label("id", "ann", "a\ncomment") == "id\nann\na\ncomment"


@given(st.text())
def test_string_literals(text):
    assert unquote_string(quote_string(text)) == text
