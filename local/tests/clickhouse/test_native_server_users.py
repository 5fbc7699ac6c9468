"""Who may do what over the native protocol."""

import pytest
from clickhouse_driver.errors import ServerException

pytestmark = pytest.mark.integration


class TestUsers:
    @pytest.mark.parametrize(
        ("user", "password"),
        [("etl", ""), ("etl", "wrong"), ("nobody", ""), ("default", "x"), ("", "")],
    )
    def test_a_wrong_password_or_user_is_refused(self, server, user, password):
        refused = pytest.raises(ServerException, match="Authentication failed")
        with server.client(user=user, password=password) as client, refused as refusal:
            client.execute("SELECT 1")
        assert refusal.value.code == 516

    def test_the_right_password(self, server):
        with server.client(user="etl", password="etl's secret") as client:
            assert client.execute("SELECT 1") == [(1,)]

    @pytest.mark.parametrize(("user", "password"), [("analyst", "look"), ("reader", "only")])
    @pytest.mark.parametrize(
        ("sql", "codes"),
        [
            ("CREATE TABLE x (a UInt8) ENGINE = Memory", {164}),
            ("INSERT INTO kept VALUES", {164}),
            ("INSERT INTO kept SELECT 1", {164}),
            ("INSERT INTO FUNCTION file('x', 'CSV', 'a UInt8') SELECT 1", {164}),
            ("DROP TABLE kept", {164}),
            ("ALTER TABLE kept DELETE WHERE 1", {164}),
            ("TRUNCATE TABLE kept", {164}),
            ("SYSTEM FLUSH LOGS", {164}),
            ("KILL QUERY WHERE 1", {164}),
            ("SET readonly = 0", {164}),
            ("SELECT 1 SETTINGS readonly = 0", {164}),
            ("BACKUP TABLE kept TO File('x')", {164}),
            ("CREATE FUNCTION f AS x -> x", {164}),
            ("SELECT * FROM file('/etc/passwd', 'LineAsString')", {497}),
            ("SELECT file('/etc/passwd')", {497}),
            ("DESCRIBE TABLE file('/etc/passwd', 'LineAsString')", {497}),
            ("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", {497}),
            ("SELECT * FROM s3('http://127.0.0.1:1/a/b', 'TSV', 'a Int8')", {497}),
            ("SELECT * FROM remote('127.0.0.1:1', 'system.one')", {497}),
            ("SELECT * FROM executable('x', 'TSV', 'a Int8')", {497}),
            ("SELECT * FROM Python(os)", {497}),
            ("SELECT * FROM eval('SELECT 1')", {497}),
            ("SELECT * FROM '/etc/passwd'", {60}),
            ("SELECT * FROM default.`/etc/passwd`", {60}),
        ],
    )
    def test_read_only_users_can_neither_change_nor_reach_out(
        self, server, client, user, password, sql, codes
    ):
        client.execute("CREATE TABLE IF NOT EXISTS kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        with server.client(user=user, password=password) as reader:
            with pytest.raises(ServerException) as refusal:
                reader.execute(sql, [(1,)] if sql.endswith("VALUES") else None)
            assert refusal.value.code in codes
            assert reader.execute("SELECT count() FROM kept") == [(0,)]

    def test_what_read_only_users_may_do(self, server):
        with server.client(user="analyst", password="look") as analyst:
            ask = "SELECT getSetting('max_threads')"
            assert analyst.execute(ask, settings={"max_threads": 2}) == [(2,)]
            assert analyst.execute(ask + " SETTINGS max_threads = 3") == [(3,)]
            analyst.execute("USE system")
            assert ("one",) in analyst.execute("SHOW TABLES")
            assert analyst.execute("SELECT format('{}!', sum(number)) FROM numbers(3)") == [("3!",)]
        with server.client(user="reader", password="only") as reader:
            assert reader.execute("SELECT 1") == [(1,)]
            with pytest.raises(ServerException) as refusal:
                reader.execute("SELECT 1", settings={"max_threads": 7})
            assert refusal.value.code == 164
