import pytest
from ugc_local.demo.analyst import Analyst, QueryError

pytestmark = pytest.mark.integration


@pytest.fixture
def admin(clickhouse):
    return Analyst(clickhouse.http_url, *clickhouse.admin)


def test_rows_come_as_dicts_and_as_texts(admin):
    admin.execute("CREATE TABLE default.asked (n UInt64, s String) ENGINE = Memory")
    admin.execute(
        "INSERT INTO default.asked FORMAT JSONEachRow\n" + '{"n": 7, "s": "ü"}\n' * 20_000
    )
    sql = "SELECT n, s FROM default.asked"
    assert admin.ask(sql) == [{"n": 7, "s": "ü"}] * 20_000
    assert list(admin.stream(sql)) == [["7", "ü"]] * 20_000
    assert admin.ask(sql + " WHERE n = 8") == []


def test_a_failure_in_mid_answer_is_told_in_the_words_of_the_server(admin):
    sql = (
        "SELECT throwIf(number = 300000, 'too far') FROM numbers(400000) "
        "SETTINGS max_threads = 1, max_block_size = 1000"
    )
    rows = admin.stream(sql)
    assert next(rows) == ["0"]
    with pytest.raises(QueryError, match="too far"):
        list(rows)


def test_nobody_there_is_an_error():
    with pytest.raises(QueryError, match="does not answer"):
        Analyst("http://127.0.0.1:1", "nobody", "").ask("SELECT 1")
